"use strict";
// Lines over time and maps, as SVG. Text goes in as text, never as HTML.

function svg(tag, attributes, parent, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
}

// At most n + 1 round numbers from low to high.
function ticks(low, high, n = 4) {
  const rough = (high - low || 1) / n, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find(of => of * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + 1e-9 * step; at += step) found.push(at);
  return found.map(at => +at.toPrecision(6));
}

function extent(lists) {
  const numbers = lists.flat().filter(value => value !== null && Number.isFinite(value));
  return numbers.length ? [Math.min(...numbers), Math.max(...numbers)] : [0, 1];
}

// A path through points [x, y]; broken where y is null.
function path(points, x, y) {
  let pen = "M";
  return points.map(([a, b]) => {
    if (b === null || b === undefined) { pen = "M"; return ""; }
    const part = `${pen}${x(a).toFixed(1)} ${y(b).toFixed(1)}`;
    pen = "L";
    return part;
  }).join("");
}

const GAP = 12;  // px between names

/* Lines over time in `holder`. lines: {name, colour, values, first (x of the first value), dash, width, named}.
   options: label (for those who cannot see it), x and y (what the axes are), from, to (the x axis), height, zero (the y
   axis starts at 0), pick (called with the x that was pointed at). Returns a function that moves the cursor to an x. */
function lineChart(holder, lines, options) {
  const width = Math.max(240, holder.clientWidth), height = options.height ?? 240;
  const right = lines.some(line => line.named) ? 76 : 8;
  const box = {left: 40, right: width - right, top: 16, bottom: height - 30};
  let [low, high] = extent(lines.map(line => line.values));
  if (options.zero) low = Math.min(0, low);
  if (high === low) high = low + 1;
  const marks = ticks(low, high);
  high = Math.max(high, marks.at(-1));
  const x = at => box.left + (at - options.from) / Math.max(1e-9, options.to - options.from) * (box.right - box.left);
  const y = at => box.bottom - (at - low) / (high - low) * (box.bottom - box.top);
  const chart = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label});
  for (const mark of marks) {
    svg("line", {class: "grid", x1: box.left, x2: box.right, y1: y(mark), y2: y(mark)}, chart);
    svg("text", {x: box.left - 5, y: y(mark) + 4, "text-anchor": "end"}, chart, mark);
  }
  for (const mark of ticks(options.from, options.to, width < 400 ? 4 : 8).filter(Number.isInteger)) {
    svg("text", {x: x(mark), y: box.bottom + 14, "text-anchor": "middle"}, chart, mark);
  }
  svg("text", {x: (box.left + box.right) / 2, y: height - 3, "text-anchor": "middle"}, chart, options.x);
  svg("text", {x: 2, y: 9}, chart, options.y);
  for (const line of lines) {
    const points = line.values.map((value, i) => [line.first + i, value]);
    svg("path", {d: path(points, x, y), stroke: line.colour, "stroke-width": line.width ?? 2, "data-line": line.name,
                 "stroke-dasharray": line.dash ?? "none", "stroke-linejoin": "round"}, chart);
  }
  nameLines(chart, lines.filter(line => line.named), box, y);
  const cursor = svg("line", {class: "cursor", y1: box.top, y2: box.bottom}, chart);
  const area = svg("rect", {class: "pick-area", x: box.left, y: box.top, width: box.right - box.left,
                            height: box.bottom - box.top}, chart);
  const point = event => {
    const edge = area.getBoundingClientRect(), share = (event.clientX - edge.left) / edge.width;
    options.pick(Math.round(options.from + share * (options.to - options.from)));
  };
  area.addEventListener("pointerdown", event => { area.setPointerCapture(event.pointerId); point(event); });
  area.addEventListener("pointermove", event => { if (event.buttons) point(event); });
  holder.replaceChildren(chart);
  return at => {
    const inside = at >= options.from && at <= options.to;
    cursor.style.visibility = inside ? "" : "hidden";
    if (inside) { cursor.setAttribute("x1", x(at)); cursor.setAttribute("x2", x(at)); }
  };
}

// Names at the lines' right ends, moved apart where they would cover one another: down, and those that then leave the
// chart up again.
function nameLines(chart, lines, box, y) {
  const ends = lines.map(line => ({line, at: y(line.values.findLast(value => value !== null) ?? 0)}));
  ends.sort((a, b) => a.at - b.at);
  for (let i = 1; i < ends.length; i++) ends[i].at = Math.max(ends[i].at, ends[i - 1].at + GAP);
  let room = box.bottom;
  for (const end of [...ends].reverse()) {
    end.at = Math.min(end.at, room);
    room = end.at - GAP;
  }
  for (const end of ends) {
    const text = svg("text", {x: box.right + 4, y: end.at + 4, "font-weight": 600}, chart, end.line.name);
    text.style.fill = end.line.colour;
  }
}

/* Positions seen from above in `holder`, cm, x to the right and y up, both to one scale. truth: [[x, y, z], …] per frame.
   lines: {colour, points (predicted, from frame `first` on), floor (per frame), first}. Returns a function that shows a
   frame. */
function seenFromAbove(holder, truth, lines, label) {
  const width = Math.max(240, holder.clientWidth), height = 230, edge = 24;
  const all = [truth, ...lines.flatMap(line => [line.points, line.floor])].flat().filter(at => at[0] !== null);
  const [left, right] = extent([all.map(at => at[0])]), [low, high] = extent([all.map(at => at[1])]);
  const scale = Math.min((width - 2 * edge) / (right - left + 2), (height - 2 * edge) / (high - low + 2));
  const x = at => width / 2 + (at - (left + right) / 2) * scale;
  const y = at => height / 2 - (at - (low + high) / 2) * scale;
  const chart = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label});
  svg("rect", {x: .5, y: .5, width: width - 1, height: height - 1, fill: "none", class: "grid"}, chart);
  const long = [1, 2, 5, 10, 20, 50, 100].find(cm => cm * scale > 45) ?? 100;
  svg("line", {x1: 10, x2: 10 + long * scale, y1: height - 10, y2: height - 10, stroke: "currentColor"}, chart);
  svg("text", {x: 14 + long * scale, y: height - 6}, chart, `${long} cm`);
  svg("text", {x: width - 6, y: 14, "text-anchor": "end"}, chart, "seen from above");
  const whole = points => path(points.map(at => [at[0], at[1]]), x, y);
  svg("path", {d: whole(truth), stroke: "var(--truth)", "stroke-width": 7, "stroke-linejoin": "round",
              "stroke-linecap": "round"}, chart);
  const drawn = lines.map(line => ({
    line,
    way: svg("path", {stroke: line.colour, "stroke-width": 1.8, "stroke-dasharray": line.dash ?? "none"}, chart),
    ring: svg("circle", {r: 5, fill: "none", stroke: line.colour, "stroke-width": 1.5}, chart),
    dot: svg("circle", {r: 4, fill: line.colour, "data-dot": line.name}, chart),
  }));
  const cross = svg("path", {stroke: "currentColor", "stroke-width": 2}, chart);
  holder.replaceChildren(chart);
  const put = (node, at) => {
    node.style.visibility = at && at[0] !== null ? "" : "hidden";
    if (at && at[0] !== null) { node.setAttribute("cx", x(at[0])); node.setAttribute("cy", y(at[1])); }
  };
  return frame => {
    const [a, b] = truth[frame];
    cross.setAttribute("d", a === null ? "" : `M${x(a) - 6} ${y(b)}h12M${x(a)} ${y(b) - 6}v12`);
    for (const {line, way, ring, dot} of drawn) {
      const step = frame - line.first;
      way.setAttribute("d", whole(line.points.slice(0, Math.max(0, step + 1))));
      put(dot, line.points[step]);
      put(ring, line.floor[frame]);
    }
  };
}
