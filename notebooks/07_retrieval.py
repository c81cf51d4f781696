# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 07 · Rollouts, looked up and decoded (Figure 4)
#
# **The paper claims** (section 4.5): LeWorldModel predicts latents and has no pixel decoder, and a cross-attention
# decoder trained afterwards is too weak to be evidence. So each predicted latent is shown as the L2-nearest real frame
# of the corpus: *"a proxy rather than a generation"* that reflects the model *"more reliably than the underdetermined
# decoder"*. Figure 4 shows one frame of one rollout, for the baseline and for the depth condition.
#
# **How we test it.** From three real frames and the recorded actions, A and B predict ten steps without seeing another
# frame (D takes B's place where there is no depth). We look every prediction up among all frames of the dataset, and
# among those of its own episode alone, and we decode it. And we measure what the paper shows only as pictures: the
# distance to the true latent at each step, beside that of the *static* prediction, which repeats the last context
# frame's latent.
#
# **And can it be used?** The paper measures *"next-latent prediction MSE rather than downstream manipulation success"*
# (section 6). Our tabletop can be stepped, so we plan with the models towards goal frames and count how often the
# gripper gets there, beside random actions and beside doing nothing.
#
# **Where we differ.** All rollouts are on episodes held out from both models' training. Distances live in each model's
# own latent space, so between models we compare ratios to the static prediction in the same space, not distances.

# %% tags=["parameters"]
profile = "quick"  # what figures say made them
data = "tabletop"  # tabletop (simulated) or bridge
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
rollout_scale = "full"  # which runs and data are shown: pilot or full
rollout_seed = 0  # the run of each condition that is shown
rollout_steps = 10  # predicted frames (5 a second); the paper's Figure 4 has 10
rollout_stride = 5  # frames between the starts of two rollouts of one episode, for the averages
show_episode = ""  # id of a held-out episode for Figure 4; empty: the one whose rollout moves most
decoder_steps = 200  # optimizer steps of each decoder
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, or a file
model = "small"  # size of the model: small, nano, or paper (ViT-Tiny, 224 px)
plan_tasks = 32  # tasks on the tabletop, one an episode; 0: none
plan_ahead = 6  # frames from a task's start to its goal, and steps planned ahead; the budget is twice as many
plan_every = 6  # steps between two plans; as in the public evaluation, a plan is carried out to its end
plan_samples = 64  # candidates of an iteration of the cross-entropy method; the public code has 300
plan_iterations = 10  # of the cross-entropy method; the public code has 30
random_repeats = 3  # times that the random actions are drawn for each task

# %%
import base64
import time
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown, display

from lewm_core import dataset
from lewm_core.curation.selection import read_selection
from lewm_core.diagnostics import planning, retrieval
from lewm_core.diagnostics.cem import CEM
from lewm_core.diagnostics.decoder import DecoderRecipe, decode, quality, train_decoder
from lewm_core.diagnostics.probes import held_out
from lewm_core.experiments import base as bases
from lewm_core.experiments.sweep import load_model, result
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.stats import paired
from lewm_core.train import Recipe, default_device
from lewm_core.utils.errors import InputError
from lewm_core.utils.provenance import caption as caption_of
from lewm_core.utils.provenance import collect
from lewm_core.utils.workspace import Workspace
from lewm_core.viz import diagnostic_figures, images, style, widgets
from lewm_core.viz.images import RolloutColumn

started = time.time()
workspace = Workspace(output, figures)
made_by = {"pilot": "03_pilot_ablation", "full": "05_full_scale"}[rollout_scale]
results = pd.read_csv(workspace.need(workspace.results(rollout_scale), made_by))
skipped = pd.read_csv(workspace.need(workspace.skipped(rollout_scale), made_by))
frames = dataset.load(workspace.need(workspace.dataset(rollout_scale), "02_extraction"))
ids = [str(i) for i in frames["episode_id"]]

run = results[results.seed == rollout_seed]
compared = ["A", *[c for c in ("B", "D") if c in set(run.condition)][:1]]
recipe = Recipe(**result(workspace.runs, run["run"].iloc[0])["recipe"])
held = held_out(frames, rollout_seed, recipe)
display(Markdown(
    f"Compared: {' and '.join(compared)}, seed {rollout_seed}. " + "".join(
        f"{row.condition} was skipped: {row.reason} " for row in skipped.itertuples() if row.condition == "B")
    + f"Held out: {len(held)} of {len(ids)} episodes."))

# %% [markdown]
# ## The corpus
#
# Every frame of the dataset, encoded by each model. It includes the episodes that are rolled out, as in the paper.

# %%
device = default_device()
worlds = {}
for name in compared:
    encoder, action_scale = load_model(results, workspace.runs, name, rollout_seed)
    encoder = encoder.to(device)
    worlds[name] = retrieval.World(encoder, action_scale, retrieval.Corpus.of(encoder, frames))
corpus = worlds["A"].corpus
history = worlds["A"].model.config.history

longest = int(frames["ep_len"][held].max())
steps = min(rollout_steps, longest - history)
if steps < 1:
    raise InputError(workspace.dataset(rollout_scale), f"held-out episodes of at most {longest} frames",
                     f"one of more than {history}, to roll out from {history} context frames")
rolled = [(int(e), int(s)) for e in held for s in range(0, frames["ep_len"][e] - history - steps + 1, rollout_stride)]
display(Markdown(
    f"{len(corpus.emb)} frames. Rollouts of {steps} steps ({steps / 5:.1f} s) from {history} frames"
    + ("" if steps == rollout_steps else f", clipped from {rollout_steps}: the longest held-out episode has "
       f"{longest} frames") + f": {len(rolled)} rollouts of {len({e for e, _ in rolled})} held-out episodes"
    + "".join(f"; {ids[e]} is too short" for e in held if e not in {e for e, _ in rolled}) + "."))

# %% [markdown]
# ## Rollouts: how far from the truth?

# %%
tables = {scope: pd.concat([retrieval.rollout_table(worlds, frames, episode, start, steps, history, scope)
                            for episode, start in rolled], ignore_index=True) for scope in retrieval.SCOPES}
table = tables["global"]
provenance = collect(profile=profile, data=data, fingerprint=frames.fingerprint, selection=frames.made.get("selection"),
                     seeds=[rollout_seed],
                     base=result(workspace.runs, run["run"].iloc[0])["base"],
                     base_hash=result(workspace.runs, run["run"].iloc[0])["base_hash"], scale=rollout_scale,
                     conditions=compared, steps=steps, history=history, held_out=[ids[e] for e in held],
                     duration_s=round(time.time() - started, 1))
caption = caption_of(provenance)


def numbers(rows: pd.DataFrame, *drawn: str) -> pd.DataFrame:
    """The columns `drawn` of a rollout table, a row per number, with episode ids and frames within them."""
    rows = rows.assign(seed=rollout_seed, retrieved_episode=[ids[e] for e in corpus.episode[rows.frame]],
                       retrieved_frame=corpus.frame[rows.frame], episode=[ids[e] for e in rows.episode])
    labels = ["seed", "episode", "start", "step", "space", "model", "scope", "retrieved_episode", "retrieved_frame"]
    return style.tidy(rows.melt(labels, drawn, "metric", "value"), "value", "", "model", scale=rollout_scale,
                      split="episode")


relative = table.groupby(["episode", "start", "step", "model"], sort=False).relative.mean().reset_index()
figure = diagnostic_figures.rollout_distance(relative.rename(columns={"relative": "distance"}),
                                 "distance to the true latent ÷ corpus spread")
style.add_caption(figure, caption + " · persistence: mean over the models' latent spaces")
style.save_figure(figure, workspace.figures / "rollout_distance", numbers(table, "relative"), provenance)
display(figure)

# %% [markdown]
# The distance is in units of each model's own corpus (the root mean square distance of its latents from their mean);
# the static line averages over both spaces. Per rollout, the mean distance over that of the static prediction in the
# same space (below 1: better than not predicting at all), with a 95 % t interval over *episodes*:

# %%
ratios = retrieval.over_static(table)
per_episode = ratios.groupby(["model", "episode"], sort=False).ratio.mean().unstack("episode")
lines = []
for name, values in per_episode.iterrows():
    values = values.dropna().to_numpy()
    low, high = paired.interval(values)
    text = f"- **{name}**: {values.mean():.3f}" + (f" [{low:.3f}, {high:.3f}]" if len(values) > 1 else "")
    lines.append(f"{text} over {len(values)} episode(s); below 1 in {(values < 1).sum()}.")
for name in compared:
    by_step = table[table.space == name].groupby(["step", "model"]).distance.mean().unstack("model")
    ratio = by_step[name] / by_step[retrieval.STATIC]
    worse = ratio.index[ratio >= 1]
    lines.append(f"- {name} is {ratio[1]:.2f} times as far from the truth as the static prediction at step 1 and "
                 f"{ratio[steps]:.2f} times at step {steps}; "
                 + ("it is nearer at every step." if not len(worse) else
                    "it is nearer at no step." if len(worse) == steps else
                    f"it is not nearer at step(s) {', '.join(map(str, worse))}."))
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Decoders
#
# One small cross-attention decoder per model, from one latent to pixels: learned position queries attend to tokens made
# of the latent. It is trained on the episodes that the model was trained on; PSNR is that on held-out episodes, beside
# the mean image of the training frames.

# %%
unseen = np.isin(corpus.episode, held)
decoder_recipe = DecoderRecipe(steps=decoder_steps)
decoders, rows = {}, []
for name, world in worlds.items():
    emb = world.corpus.emb.to(device)
    decoders[name] = train_decoder(emb[torch.from_numpy(~unseen)], frames["pixels"][~unseen], decoder_recipe,
                                   rollout_seed)
    score = {part: quality(decoders[name], world.corpus.emb[torch.from_numpy(at)], frames["pixels"][at])
             for part, at in (("held out", unseen), ("training", ~unseen))}
    rows += [{"model": name, "episodes": part, "decoder": s["psnr"], "mean image": s["psnr_mean_image"]}
             for part, s in score.items()]
psnr = pd.DataFrame(rows).set_index(["model", "episodes"])
psnr["gain"] = psnr["decoder"] - psnr["mean image"]
display(psnr.style.format("{:.2f} dB"))

# %% [markdown]
# ## Figure 4
#
# The episode shown is chosen: of all rollouts above, the one whose static prediction is furthest from the truth, that
# is, in which most happens. The averages above are over all rollouts.

# %%
if show_episode:
    if show_episode not in [ids[e] for e in held]:
        raise InputError("show_episode", repr(show_episode), "a held-out episode: " + ", ".join(ids[e] for e in held))
    candidates = table[table.episode == ids.index(show_episode)]
    if candidates.empty:
        raise InputError("show_episode", f"{show_episode}, too short", f"{history + steps} frames or more")
else:
    candidates = table
static_error = candidates[candidates.model == retrieval.STATIC].groupby(["episode", "start"]).relative.mean()
episode, start = static_error.idxmax()
pixels, at_steps = frames["pixels"], list(range(1, steps + 1))


def note(row) -> str:
    return f"{ids[corpus.episode[row.frame]]}:{corpus.frame[row.frame]}\nd = {row.retrieval_distance:.2f}"


def rows_of(scope: str, episode: int, start: int, name: str) -> pd.DataFrame:
    rows = tables[scope]
    return rows[(rows.episode == episode) & (rows.start == start) & (rows.space == name) & (rows.model == name)]


def columns(episode: int, start: int) -> dict[str, RolloutColumn]:
    """Every column of a rollout by name: ground truth, static, and per model two retrievals and the decoder."""
    true = rows_of("global", episode, start, "A").true_frame.to_numpy()
    out = {"ground truth": RolloutColumn("ground truth", pixels[true], "", [f"frame {corpus.frame[t]}" for t in true]),
           "static": RolloutColumn("static", pixels[[true[0] - 1] * steps], "",
                                   [f"frozen frame {corpus.frame[true[0] - 1]}"] * steps)}
    for name, world in worlds.items():
        for scope in retrieval.SCOPES:
            rows = rows_of(scope, episode, start, name)
            label = f"{name} retrieval" + (", same episode" if scope == "episode" else "")
            out[label] = RolloutColumn(label, pixels[rows.frame], name, [note(row) for row in rows.itertuples()])
        pred = retrieval.rollout_from(world.model, world.action_scale, frames, episode, start, steps, history)[history:]
        rows = rows_of("global", episode, start, name)
        out[f"{name} decoder"] = RolloutColumn(f"{name} decoder", decode(decoders[name], pred), name,
                                               [f"latent {d:.2f} from the truth" for d in rows.distance])
    return out


chosen = columns(episode, start)
order = ["ground truth", *[f"{c} retrieval" for c in compared], *[f"{c} decoder" for c in compared]]
show = sorted({1, *np.linspace(1, steps, min(4, steps)).round().astype(int).tolist()})
headline = (f"{ids[episode]}: {frames['task'][episode] or 'no task text'} · predicted from frames {start} to "
            f"{start + history - 1}, held out")
figure4 = images.rollout_strip([chosen[c] for c in order], at_steps, show, headline)
shown = table[(table.episode == episode) & (table.start == start)]
style.add_caption(figure4, caption)
style.save_figure(figure4, workspace.figures / "figure4", numbers(shown, "distance", "retrieval_distance"), provenance)
display(figure4)

# %%
animation = images.rollout_animation([chosen[c] for c in order], at_steps, workspace.figures / "figure4.gif")
picture = base64.b64encode(animation.read_bytes()).decode()  # as HTML, since exports drop image/gif
display(HTML(f'<img alt="Figure 4 as an animation" src="data:image/gif;base64,{picture}">'))

# %% [markdown]
# Retrieval from the whole corpus beside retrieval from the episode alone, with the frozen last context frame:

# %%
order = ["ground truth", "static", *[f"{c} retrieval" for c in compared],
         *[f"{c} retrieval, same episode" for c in compared]]
scopes_figure = images.rollout_strip([chosen[c] for c in order], at_steps, show, headline)
both = pd.concat([t[(t.episode == episode) & (t.start == start)] for t in tables.values()])
style.add_caption(scopes_figure, caption)
style.save_figure(scopes_figure, workspace.figures / "rollout_scopes", numbers(both, "retrieval_distance"), provenance)
display(scopes_figure)

# %% [markdown]
# ## How steadily does the retrieved frame move?
#
# The table of the author's rollout dashboard, over all rollouts. With S steps there are S − 1 transitions between
# retrieved frames: *same episode* is the share of steps that find the rollout's own episode, *switches* counts
# transitions to another, *mean jump* is in frames, *monotonicity* is the share of transitions that go forwards and
# *repeated* the share that stay. (From its printed numbers the dashboard counts transitions in this way.)

# %%
steady = pd.concat([retrieval.stability(t[t.model != retrieval.STATIC], corpus).assign(scope=scope)
                    for scope, t in tables.items()])
measures = ["same_episode", "switches", "mean_jump", "monotonicity", "unique_frames", "repeated"]
steadiness = steady.groupby(["scope", "model"], sort=False)[measures].mean()
display(steadiness.style.format({"same_episode": "{:.0f} %", "switches": "{:.1f}", "mean_jump": "{:.1f}",
                                 "monotonicity": "{:.0f} %", "unique_frames": f"{{:.1f}} / {steps}",
                                 "repeated": "{:.0f} %"}))

# %% [markdown]
# ## Tags
#
# Each rollout gets the dashboard's automatic tags. Its thresholds are not published; ours are constants of
# `lewm_core.diagnostics.retrieval`, on the ratio to the static prediction.

# %%
tagged = {key: retrieval.tags(dict(zip(g.model, g.ratio, strict=True)))
          for key, g in ratios.groupby(["episode", "start"], sort=False)}
counts = pd.Series([t for found in tagged.values() for t in found], dtype=str).value_counts()
display(Markdown("\n".join(f"- `{tag}`: {n} of {len(tagged)} rollouts" for tag, n in counts.items())))
display(Markdown(f"Figure 4's rollout: {', '.join(f'`{t}`' for t in tagged[(episode, start)]) or 'no tag'}."))

# %% [markdown]
# ## Look for yourself
#
# With a kernel: pick a held-out episode, a step and a column. Without one: slide through the steps.

# %%
others = [(e, s) for e, s in rolled if s == 0 and e != episode][:3]
inspected = {ids[e]: (list(columns(e, s).values()), at_steps) for e, s in [(episode, start), *others]}
widgets.inspect_rollout(inspected)

# %% [markdown]
# ## Can it be used? Planning on the tabletop
#
# A task takes a selected episode that training never saw up at a frame and shows the frame `plan_ahead` later as the
# goal, one task an episode. The goal always needs motion: of the gripper alone (*reach*) or of the object (*move*),
# twice as far as counts as reached. Planning minimises the distance between the last predicted latent and the goal's,
# with the cross-entropy method, and plans again after `plan_every` steps from new pictures. It sees pictures and the
# gripper's own state; the simulator's truth only judges. A goal is reached when gripper and object are both near at
# some step.
#
# Beside it: *static* does nothing, *random* draws actions from the training episodes, and *recorded* repeats what the
# recorded gripper did, which shows what the simulation itself allows.

# %%
spec = SourceSpec.load(workspace.need(workspace.source))
tasks, trained = [], {id for e, id in enumerate(ids) if e not in held}
if spec.data != "tabletop":
    display(Markdown(f"Skipped: this needs a world that can be stepped, the simulated tabletop; these data are "
                     f"{spec.data}."))
elif plan_tasks:
    selected = read_selection(workspace.need(workspace.selection)).episode
    tasks = planning.draw_tasks(spec.open(), set(selected) - trained, plan_tasks, plan_ahead, history,
                                  np.random.default_rng(rollout_seed))
    kinds = pd.Series([task.kind for task in tasks], dtype=str).value_counts()
    display(Markdown(f"{len(tasks)} tasks{', of them ' * bool(tasks)}"
                     + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
                     + f"; goals {plan_ahead / 5:.1f} s ahead, {2 * plan_ahead} steps to get there."))

# %%
if tasks:
    started, settings = time.time(), CEM(plan_samples, max(2, plan_samples // 8), plan_iterations, plan_ahead)
    leads_on = np.isin(corpus.episode, held, invert=True)
    leads_on[frames["ep_offset"] + frames["ep_len"] - 1] = False  # an episode's last action leads nowhere
    actions = frames["action"][leads_on]
    if (began := bases.resolve(base, model, workspace.cache)).hash != provenance["base_hash"]:
        raise InputError("base", f"{began.name}, {began.hash}", f"{provenance['base']}, {provenance['base_hash']}",
                         "Give the base and the model from which the runs started.")
    start_model, start_scale = began.load(rollout_seed)
    planners = {"base": (start_model.to(device), start_scale or worlds["A"].action_scale),
                **{name: (world.model, world.action_scale) for name, world in worlds.items()}}
    tries = planning.attempts(tasks, planners, actions, settings, plan_every, random_repeats, rollout_seed)
    summary = planning.summarise(tries)
    made = provenance | {"tasks": [(t.recording.id, t.start, t.kind) for t in tasks], "near": planning.NEAR,
                         "cem": asdict(settings), "every": plan_every, "duration_s": round(time.time() - started, 1)}
    figure = diagnostic_figures.planning(summary)
    style.add_caption(figure, caption)
    style.save_figure(figure, workspace.figures / "planning",
                      style.tidy(summary, "value", "", "method", scale=rollout_scale, seed=rollout_seed,
                                 split="episode"), made)
    display(figure)

# %% [markdown]
# Goals reached by kind of task and in all, the median distance to go at the end over that at the start (the object's
# where it must move), and *prefers recorded*: the share of random action sequences that the model's cost puts behind
# the recorded actions, which do lead to the goal (0.5: the cost knows nothing). Differences are paired by task, in
# points of per cent with a 95 % t interval over tasks, which no correction widens for there being several.

# %%
if tasks:
    success = planning.reached(tries).unstack("method", sort=False)
    end = summary[summary.step == 2 * plan_ahead].pivot(index="method", columns="metric", values="value")
    share = summary[(summary.metric == "success") & (summary.factor == 1)]
    outcomes = share.pivot(index="method", columns="kind", values="value").reindex(success.columns).join(end)
    for name, known in planners.items():  # is it the cost or the search?
        preferred = planning.prefers_recorded(*known, tasks, actions, plan_samples, np.random.default_rng(0))
        outcomes.loc[name, "prefers recorded"] = preferred.mean()
    display(outcomes.style.format("{:.2f}", na_rep="–"))
    planned = ["- " + planning.compare(success, name, other)
               for name in planners for other in ("random", "static")]
    display(Markdown("\n".join(planned)))

# %% [markdown]
# ## What we found

# %%
global_rows = steadiness.loc["global"]
best = per_episode.mean(axis=1)
who = "every model beats" if (best < 1).all() else "one model beats" if (best < 1).any() else "no model beats"
lines = [f"- On average over held-out episodes, {', '.join(f'{n} is at {v:.2f}' for n, v in best.items())} times the "
         f"static prediction's distance: {who} repeating the last frame."]
if len(compared) == 2:
    a, b = compared
    difference = (per_episode.loc[b] - per_episode.loc[a]).dropna().to_numpy()
    low, high = paired.interval(difference)
    lines.append(f"- {b} against {a}, in that ratio: {paired.number(difference.mean(), 3)}"
                 + (f" [{paired.number(low, 3)}, {paired.number(high, 3)}] over {len(difference)} episodes, an "
                    f"interval that {'includes' if low <= 0 <= high else 'excludes'} 0" if len(difference) > 1 else "")
                 + ". This is one run of each; notebooks 03 and 05 have the seeds.")
lines += [f"- {name}: {row.same_episode:.0f} % of the retrieved frames are from the episode itself and "
          f"{row.repeated:.0f} % of the transitions stay on one frame." for name, row in global_rows.iterrows()]
gain = psnr.xs("held out", level="episodes").gain
lines.append("- Against the mean image, the decoders stand at "
             + ", ".join(f"{paired.number(g)} dB ({n})" for n, g in gain.items())
             + " on held-out episodes. The paper calls its decoder's quality insufficient and gives no number.")
if tasks:
    lines.append("- Goals reached on the tabletop: " + ", ".join(
        f"{name} {100 * rate:.0f} %" for name, rate in success.mean().items()) + f" of {len(tasks)} tasks (near: "
        f"gripper {100 * planning.NEAR['gripper']:.0f} cm, object {100 * planning.NEAR['object']:.0f} cm).")
    lines += planned
    lines.append("- The cost puts the recorded actions before " + ", ".join(
        f"{100 * v:.0f} % ({name})" for name, v in outcomes["prefers recorded"].dropna().items())
        + " of random ones; 50 % would be chance.")
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Where the paper is silent
#
# - **A retrieved picture always looks real.** Its distance says how far the prediction is from any real frame; a sharp
#   picture with a large distance is no evidence. Both distances are under the pictures.
# - **The corpus holds the answer.** It includes the true future frames, and frames the model was trained on. The paper
#   does not say whether its corpus does.
# - **'Retrieval distance'.** The dashboard draws one line per model and a static line on an axis of that name without
#   saying what they measure. We draw the distance to the true latent for all of them.
# - **The latent space moves.** Dividing by the corpus's spread, or by the static prediction in the same space, removes
#   the scale of a latent space but not its other peculiarities (see notebook 03).
