// The dashboard itself: what is shown of an episode, and at which frame. A page holds all its episodes; in a notebook
// Python feeds one at a time, in an element beside this frame. What comes from data is text, never HTML.

const $ = id => document.getElementById(id);
const shared = JSON.parse($("data").textContent);
const RATES = [0.5, 1, 2, 4];
const MEASURES = {  // what a curve shows: its axis, and per condition its values, a floor, and persistence's
  spread: {label: "distance ÷ spread of the latents", of: c => over(c.distance, c.spread),
           still: cs => mean(cs.map(c => over(c.persistence, c.spread)))},
  ratio: {label: "distance ÷ persistence's", of: c => c.distance.map((d, i) => d === null || !c.persistence[i] ? null
                                                                    : d / c.persistence[i]),
          still: cs => cs[0].distance.map(() => 1)},
  gripper: place("gripper"), object: place("object"),
  retrieved: {label: "distance to the retrieved frame ÷ spread", of: c => over(c.scopes[state.scope].distance, c.spread)},
};
const STABILITY = [["same_episode", "same episode %"], ["switches", "switches"], ["mean_jump", "mean jump"],
                   ["monotonicity", "forwards %"], ["unique_frames", "unique frames"], ["repeated", "repeated %"]];
const state = {episode: null, chosen: shared.chosen, frame: shared.history + 4, timer: null, width: 0, again: null,
               scope: "global", measure: "spread", dark: false};
let shows = [];  // what is called with a frame to show it

function place(name) {
  return {label: `error of the ${name}'s position, cm`, of: c => c.places[name]?.error,
          floor: c => c.places[name].floor_error.slice(shared.history),
          still: () => state.episode.place_persistence[name]};
}
function over(values, unit) { return values.map(value => value === null ? null : value / unit); }
function mean(lists) { return lists[0].map((_, i) => average(lists.map(list => list[i]))); }
function average(values) {
  const known = values.filter(value => value !== null && Number.isFinite(value));
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
function fixed(value, digits = 2) {
  return Number.isFinite(value) ? value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−") : "–";
}

function make(tag, attributes = {}, ...content) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...content);
  return node;
}

function look(name) {  // of a condition: its colour on this ground, and its dashes
  const {light, dark, solid} = shared.conditions[name];
  return {colour: state.dark ? dark : light, dash: solid ? undefined : "5 3", solid};
}
function swatch(name) {
  const mark = make("span", {class: look(name).solid ? "swatch" : "swatch dashed", "aria-hidden": "true"});
  mark.style.borderTopColor = look(name).colour;
  return mark;
}
function conditions() {  // those that are shown: [name, what the episode holds of it], in the order of the study
  const own = state.episode.conditions;
  return Object.keys(shared.conditions).filter(name => state.chosen.includes(name) && own[name])
    .map(name => [name, own[name]]);
}
function ratio(c) {
  const still = average(c.persistence);
  return still > 0 ? average(c.distance) / still : NaN;
}

const TAGS = {  // what a tag means; static is the word of the paper's dashboard for persistence
  "static-dominates": "no condition shown is nearer to the truth than persistence",
  "models-beat-static": "every condition shown is nearer to the truth than persistence",
  "tight-tie": "the conditions shown are about equally near",
  "large-model-gap": "the conditions shown differ much",
  best: "the condition shown that is nearest to the truth",
};

// As retrieval.tags, whose thresholds it is given.
function tags(ratios) {
  const values = Object.values(ratios), found = [];
  if (!values.length || !values.every(Number.isFinite)) return found;
  const worst = Math.max(...values), best = Math.min(...values);
  if (best > shared.tags.beats) found.push("static-dominates");
  if (worst < shared.tags.beats) found.push("models-beat-static");
  if (values.length > 1 && worst <= shared.tags.tie * best) found.push("tight-tie");
  if (values.length > 1 && worst >= shared.tags.gap * best && worst > 0) found.push("large-model-gap");
  return [...found, `best:${Object.keys(ratios).find(name => ratios[name] === best)}`];
}

// What is shown of one episode

async function show(episode, chosen) {
  if (episode.id !== state.episode?.id) state.frame = Math.min(state.frame, episode.frames - 1);
  Object.assign(state, {episode, chosen});
  const own = conditions().map(([, c]) => c);
  await ready([episode.rgb, episode.depth, episode.mask, ...own.flatMap(c => [c.found, c.decoded])]
    .filter(sheet => sheet.src));
  if (state.episode === episode) build();
}

function build() {
  cancelAnimationFrame(state.again);
  state.width = document.body.clientWidth;
  if (!state.episode) return;
  if (!state.width) {  // hidden, for a while or for less than a frame: it is built when it has a width
    state.again = requestAnimationFrame(build);
    return;
  }
  const episode = state.episode, own = conditions();
  $("task").textContent = episode.task || "no task text";
  $("facts").textContent = [episode.id, `${episode.frames} frames`, `the first ${shared.history} are given`,
                            `${episode.frames - shared.history} predicted`, episode.known].filter(Boolean).join(" · ");
  $("time").max = episode.frames - 1;
  const ratios = Object.fromEntries(own.map(([name, c]) => [name, ratio(c)]));
  $("tags").replaceChildren(...tags(ratios).map(tag => make("li", {title: TAGS[tag.split(":")[0]]}, tag)));
  $("predicted").replaceChildren();
  shows = [...recorded(), ...own.map(([name, c]) => card(name, c)), curve(), now(), ...places(), ...actions()];
  stability();
  go(state.frame);
}

function tile(parent, title, sheet, pick, note, after) {
  const caption = make("figcaption");
  if (!sheet.src) {
    caption.append(make("b", {}, title));
    parent.append(make("figure", {}, make("div", {class: "missing"}, sheet.missing), caption));
    return () => {};
  }
  const canvas = canvasFor(sheet);
  parent.append(make("figure", {}, canvas, caption));
  return frame => {
    drawPicture(canvas, sheet, pick(frame));
    after?.(canvas, frame);
    const text = note(frame);
    caption.replaceChildren(make("b", {}, title), text && ` ${text}`);
    canvas.setAttribute("aria-label", `${title} ${text}`);
  };
}

function recorded() {
  const episode = state.episode, parent = $("recorded"), last = shared.history - 1, nothing = () => "";
  parent.replaceChildren();
  const same = frame => frame, points = episode.tracks.points && readTracks(episode.tracks);
  return [
    tile(parent, "RGB", episode.rgb, same, frame => `frame ${frame}`),
    tile(parent, "Depth", episode.depth, same, nothing),
    tile(parent, "Tracks", points ? episode.rgb : episode.tracks, same, nothing,
         (canvas, frame) => drawTracks(canvas, points, frame, shared.trail)),
    tile(parent, "Mask", episode.mask, same, nothing),
    tile(parent, "Persistence", episode.rgb, frame => Math.min(frame, last), frame => `frame ${Math.min(frame, last)}`),
  ];
}

// A condition's retrieved and decoded frame. In the context, which is given, both show the true frame, faded.
function card(name, c) {
  const box = make("article", {class: look(name).solid ? "card" : "card dashed"});
  box.style.borderTopColor = look(name).colour;
  const title = shared.conditions[name].title;
  box.append(make("h3", {title}, name, make("span", {}, title && ` ${title}`)));
  const given = make("div", {class: "pair given"}), pair = make("div", {class: "pair"});
  box.append(given, pair);
  $("predicted").append(box);
  const found = c.scopes[state.scope], step = frame => frame - shared.history;
  const before = ["Retrieved", "Decoded"].map(kind => tile(given, kind, state.episode.rgb, frame => frame,
                                                           () => "nothing is predicted yet"));
  const after = [
    tile(pair, "Retrieved", c.found, frame => found.tile[step(frame)],
         frame => `${found.name[step(frame)]}, d\u00a0=\u00a0${fixed(found.distance[step(frame)])}`),
    tile(pair, "Decoded", c.decoded, step, frame => `latent ${fixed(c.distance[step(frame)])} from the truth`),
  ];
  return frame => {
    given.hidden = step(frame) >= 0;
    pair.hidden = step(frame) < 0;
    for (const draw of step(frame) < 0 ? before : after) draw(frame);
  };
}

function curve() {
  const measure = MEASURES[state.measure], own = conditions();
  const known = own.filter(([, c]) => measure.of(c)), lines = [];
  const line = (name, colour, values, more) => values && lines.push({name, colour, values, first: 1, ...more});
  if (known.length && measure.still) {
    line("persistence", state.dark ? "#b4b4b4" : "#6b6b6b", measure.still(own.map(([, c]) => c)),
         {dash: "2 3", named: true, width: 2.5});
  }
  for (const [name, c] of known) {
    const {colour, dash} = look(name);
    line(name, colour, measure.of(c), {dash, named: true});
    if (measure.floor) line(`${name} floor`, colour, measure.floor(c), {dash: "1 3", width: 1.2});
  }
  if (!lines.length) {
    $("curve").replaceChildren(make("p", {class: "note"}, own.length ? "The data do not have this position."
                                                                     : "No condition is chosen."));
    return () => {};
  }
  const steps = state.episode.frames - shared.history;
  const move = lineChart($("curve"), lines, {
    label: `${measure.label}, by predicted step, of ${known.map(([name]) => name).join(", ")}`, x: "predicted step",
    y: "", from: 1, to: Math.max(2, steps), zero: true, height: 260,
    pick: step => go(step + shared.history - 1)});
  return frame => move(frame - shared.history + 1);
}

function table(id, caption, head, rows) {
  $(id).replaceChildren(make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head.map(
    text => make("th", {scope: "col"}, text)))), make("tbody", {}, ...rows.map(([name, ...cells]) => make(
    "tr", {}, make("th", {scope: "row"}, ...name), ...cells.map(text => make("td", {}, text))))));
}

// The numbers at the frame shown: of each condition with its floor, and of persistence.
function now() {
  const places = Object.keys(state.episode.places);
  const head = ["", "distance ÷ spread", "÷ persistence", ...places.flatMap(name => [`${name}, cm`, "map alone"])];
  $("now-note").textContent = "Persistence repeats the last context frame. Its distance is the mean over the conditions "
    + "shown, each in its own latents." + (places.length ? " Gripper and object: how far off their position is, for "
    + "persistence that in the last context frame. Map alone, dotted: read from the true frame's latent." : "");
  return frame => {
    const i = frame - shared.history, at = list => i < 0 ? null : list?.[i];
    const row = ([name, c]) => [[swatch(name), name], fixed(at(MEASURES.spread.of(c))), fixed(at(MEASURES.ratio.of(c))),
      ...places.flatMap(of => [fixed(at(c.places[of]?.error), 1), fixed(c.places[of]?.floor_error[frame] ?? null, 1)])];
    const still = conditions().length ? at(MEASURES.spread.still(conditions().map(([, c]) => c))) : null;
    const persistence = [["persistence"], fixed(still), i < 0 ? "–" : "1.00",
                         ...places.flatMap(of => [fixed(at(state.episode.place_persistence[of]), 1), ""])];
    table("now", i < 0 ? "In the context nothing is predicted." : `At step ${i + 1}`, head,
          [...conditions().map(row), persistence]);
  };
}

function stability() {
  const steps = state.episode.frames - shared.history;
  const row = ([name, c]) => {
    const found = c.scopes[state.scope].stability;
    const cells = STABILITY.map(([key]) => key === "unique_frames" ? `${found[key]}/${steps}`
      : fixed(found[key], key === "mean_jump" ? 1 : 0));
    return [[swatch(name), name], ...cells, fixed(ratio(c))];
  };
  table("stability", `Retrieved from ${shared.scopes[state.scope]}, over all ${steps} steps`,
        ["", ...STABILITY.map(([, words]) => words), "÷ persistence"], conditions().map(row));
}

function places() {
  const episode = state.episode;
  $("places").replaceChildren();
  $("places").parentNode.hidden = !Object.keys(episode.places).length;
  const holders = Object.keys(episode.places).map(name => {
    const seen = make("div"), height = make("div");
    $("places").append(make("figure", {}, make("figcaption", {}, make("b", {}, name)), seen, height));
    return [seen, height];
  });  // all before one is drawn, which asks how wide it is
  return Object.entries(episode.places).flatMap(([name, truth], k) => {
    const [seen, height] = holders[k];
    const own = conditions().filter(([, c]) => c.places[name]).map(([of, c]) => (
      {name: of, ...look(of), points: c.places[name].predicted, floor: c.places[name].floor, first: shared.history}));
    const lines = [{name: "true", colour: "var(--truth)", values: truth.map(at => at[2]), first: 0, width: 7}];
    for (const line of own) {
      lines.push({...line, values: line.points.map(at => at[2])},
                 {...line, name: `${line.name} floor`, values: line.floor.map(at => at[2]), first: 0, dash: "1 3", width: 1});
    }
    return [seenFromAbove(seen, truth, own, `${name}, seen from above`),
            lineChart(height, lines, {label: `height of the ${name} by frame`, x: "frame", y: "height, cm", from: 0,
                                      to: episode.frames - 1, height: 130, pick: go})];
  });
}

function actions() {
  const rows = state.episode.actions;
  $("actions").replaceChildren();
  return rows[0].map((_, k) => {
    const values = rows.map(row => row[k]), name = shared.actions[k] ?? `action ${k}`, value = make("output");
    const chart = svg("svg", {viewBox: "0 0 100 34", preserveAspectRatio: "none", "aria-hidden": "true"});
    const [low, high] = extent([values]), x = at => at / Math.max(1, rows.length - 1) * 100;
    const y = at => 31 - (at - low) / (high - low || 1) * 28;
    svg("path", {d: path(values.map((at, i) => [i, at]), x, y), stroke: "currentColor", "stroke-width": 1.3,
                 "vector-effect": "non-scaling-stroke"}, chart);
    const cursor = svg("line", {class: "cursor", y1: 0, y2: 34, "vector-effect": "non-scaling-stroke"}, chart);
    $("actions").append(make("div", {class: "action"}, make("div", {}, name, value), chart));
    return frame => {
      value.textContent = fixed(values[frame], 3);
      cursor.setAttribute("x1", x(frame));
      cursor.setAttribute("x2", x(frame));
    };
  });
}

// Time

function go(frame) {
  if (!state.episode) return;
  state.frame = Math.max(0, Math.min(state.episode.frames - 1, frame));
  const step = state.frame - shared.history + 1;
  const words = `frame ${state.frame} of ${state.episode.frames}, ${step > 0 ? `predicted step +${step}` : "given"}`;
  $("time").value = state.frame;
  $("time").setAttribute("aria-valuetext", words);
  $("where").textContent = words;
  for (const draw of shows) draw(state.frame);
}

function play(on = state.timer === null) {
  clearTimeout(state.timer);
  state.timer = null;
  if (on && state.episode) {
    if (state.frame === state.episode.frames - 1) go(0);
    state.timer = setTimeout(advance, pause());
  }
  $("play").textContent = on ? "❚❚ Pause" : "▶ Play";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
}
function pause() { return 1000 / (shared.fps * Number($("speed").value)); }
function advance() {
  const last = state.frame === state.episode.frames - 1;
  if (last && !$("loop").checked) return play(false);
  go(last ? 0 : state.frame + 1);
  state.timer = setTimeout(advance, pause());
}

function key(event) {
  const of = event.target, own = {SELECT: "*", BUTTON: " Enter", INPUT: of.type === "checkbox" ? " " : ""}[of.tagName];
  if (event.ctrlKey || event.altKey || event.metaKey || own === "*" || own?.includes(event.key)) return;
  const known = {ArrowLeft: () => go(state.frame - 1), ArrowRight: () => go(state.frame + 1), " ": () => play(),
                 Home: () => go(0), End: () => go(Infinity)}[event.key];
  if (!known) return;
  event.preventDefault();
  if (event.key !== " ") play(false);
  known();
}

// Controls, theme, and where episodes come from

function fill(select, entries, value) {
  select.replaceChildren(...entries.map(([key, words]) => make("option", {value: key}, words)));
  select.value = value;
}

function controls() {
  fill($("speed"), RATES.map(rate => [rate, `${rate}×`]), 1);
  fill($("scope"), Object.entries(shared.scopes), state.scope);
  fill($("measure"), Object.entries(MEASURES).map(([name, {label}]) => [name, label]), state.measure);
  for (const name of ["scope", "measure"]) {
    $(name).addEventListener("change", event => { state[name] = event.target.value; build(); });
  }
  const jumps = {home: () => go(0), back: () => go(state.frame - 1), on: () => go(state.frame + 1),
                 end: () => go(Infinity)};
  for (const [id, jump] of Object.entries(jumps)) $(id).addEventListener("click", () => { play(false); jump(); });
  $("play").addEventListener("click", () => play());
  $("time").addEventListener("input", event => { play(false); go(Number(event.target.value)); });
  document.addEventListener("keydown", key);
  $("caption").textContent = shared.caption;
}

function boxes() {  // of the conditions, on a page
  const legend = $("conditions").firstElementChild;
  const labels = Object.keys(shared.conditions).map(name => {
    const box = make("input", {type: "checkbox", value: name});
    box.checked = state.chosen.includes(name);
    box.addEventListener("change", () => {
      const chosen = [...$("conditions").querySelectorAll("input:checked")].map(of => of.value);
      show(state.episode, chosen);
    });
    return make("label", {title: shared.conditions[name].title}, box, swatch(name), name);
  });
  $("conditions").replaceChildren(legend, ...labels);
}

function host() {  // the document that this one is a frame of, where it may be read
  try { return window.parent !== window ? window.parent.document : null; } catch { return null; }
}

// Light or dark: as the notebook or the site around this frame is, else as the system.
function theme() {
  const jupyter = host()?.body?.dataset.jpThemeLight, site = host()?.documentElement.dataset.theme;
  const told = jupyter ? (jupyter === "true" ? "light" : "dark") : ["light", "dark"].find(name => name === site);
  const name = told ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = name;
  if (jupyter) {  // JupyterLab's own colours
    const around = getComputedStyle(host().body);
    for (const [own, theirs] of [["--ground", "--jp-layout-color0"], ["--panel", "--jp-layout-color2"],
                                 ["--text", "--jp-ui-font-color0"]]) {
      const value = around.getPropertyValue(theirs).trim();
      if (value) document.documentElement.style.setProperty(own, value);
    }
  }
  state.dark = name === "dark";
  if (!shared.live) boxes();
  build();
}

function fit() {  // this frame is as high as what it shows
  try {
    if (window.frameElement) window.frameElement.style.height = `${document.body.scrollHeight + 2}px`;
  } catch { /* it then scrolls */ }
}

function follow(tries = 100) {  // the episodes that Python feeds
  let feed = null;
  try { feed = window.frameElement?.closest(".lewm-dashboard")?.querySelector(".lewm-feed"); } catch { return; }
  if (!feed) { if (tries) setTimeout(follow, 100, tries - 1); return; }
  const read = () => {
    const text = feed.querySelector("script")?.textContent;
    if (!text) return;
    const {episode, chosen} = JSON.parse(text);
    show(episode, chosen);
  };
  new MutationObserver(read).observe(feed, {childList: true, subtree: true});
  read();
}

function start() {
  document.documentElement.classList.toggle("live", Boolean(shared.live));
  controls();
  theme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
  for (const node of [host()?.body, host()?.documentElement].filter(Boolean)) {
    new MutationObserver(theme).observe(node, {attributeFilter: ["data-jp-theme-light", "data-theme"]});
  }
  new ResizeObserver(() => { if (state.width !== document.body.clientWidth) build(); fit(); }).observe(document.body);
  if (shared.live) return follow();
  const byLabel = shared.episodes.map((episode, i) => [i, episode.label]);
  fill($("episode"), byLabel, 0);
  $("episode").addEventListener("change", event => show(shared.episodes[event.target.value], state.chosen));
  show(shared.episodes[0], state.chosen);
}

start();
