# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 05 · Full scale: does the sign flip? (Figure 3)
#
# **The paper claims** (section 4.3): with 100 episodes instead of 13, depth (B), tracks (D) and both (E) lose their
# whole benefit: +1.0 %, +0.2 % and +1.3 %. The baseline's own error falls about fourfold. *"The data scale is the only
# varying factor."*
#
# **How we test it.** The same recipe, base and seeds as in notebook 03 on the larger dataset, for A, B, D and E.
#
# **Where we disagree.** Scale is not the only thing that varies. The pilot is the best of the pool by score
# (hand-picked, in the paper) and the full set is less selected. The same number of epochs means more optimizer steps.
# And the held-out data differ between the two scales. Below we say by how much, for these runs; `--study controls` adds
# runs that tell these explanations apart.

# %% tags=["parameters"]
profile = "quick"  # what figures say made them
data = "tabletop"  # tabletop (simulated) or bridge
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
study = "main"  # main, or controls: also what tells scale, curation, training length and loss weight apart
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, a hub id, or a path
model = "small"  # its size: small, nano, or paper (ViT-Tiny, 224 px); a checkpoint of yours brings its own
full_conditions = ["A", "B", "D", "E"]  # rows of lewm_core.conditions; the paper's three and the baseline
full_seeds = 3  # runs per condition; the paper has 3
epochs = 6  # passes over the training windows; the paper has 20
lr = 5e-5  # AdamW's peak learning rate
directions = 256  # SIGReg's random directions a step; the public recipe has 1024
val_episodes = 0.15  # share of episodes held out
jobs = 0  # parallel runs; 0: one a core, or one on a GPU

# %%
import time

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from lewm_core import dataset
from lewm_core.conditions import in_order
from lewm_core.curation.selection import read_selection
from lewm_core.experiments import base as bases
from lewm_core.experiments import controls
from lewm_core.experiments.sweep import plan, result, sweep
from lewm_core.stats import contrasts, paired, paper, scaling
from lewm_core.train import Recipe
from lewm_core.utils.files import write_csv
from lewm_core.utils.provenance import caption as caption_of
from lewm_core.utils.provenance import collect
from lewm_core.utils.workspace import Workspace
from lewm_core.viz import control_figures, curve_figures, paper_figures, style

started = time.time()
workspace = Workspace(output, figures)
pilot_results = pd.read_csv(workspace.need(workspace.results("pilot"), "03_pilot_ablation"))
pilot_skipped = pd.read_csv(workspace.need(workspace.skipped("pilot"), "03_pilot_ablation"))
path = workspace.need(workspace.dataset("full"), "02_extraction")
full = dataset.load(path)
recipe = Recipe(epochs=epochs, lr=lr, directions=directions, val_episodes=val_episodes)
start = bases.resolve(base, model, workspace.cache)

# %% [markdown]
# ## The runs

# %%
runs, skipped = plan(full_conditions, "full", range(full_seeds), path, start, recipe)
full_results = sweep(runs, workspace.runs, jobs or None)
write_csv(workspace.results("full"), full_results)
write_csv(workspace.skipped("full"), skipped)
results = pd.concat([pilot_results[pilot_results.condition.isin(full_conditions)], full_results])
skipped = pd.concat([pilot_skipped[pilot_skipped.condition.isin(full_conditions)], skipped])
display(skipped) if len(skipped) else print("no condition was skipped")

# %% [markdown]
# ## What else differs between the scales

# %%
def describe_scale(rows: pd.DataFrame, scale: str) -> dict[str, object]:
    one = result(workspace.runs, rows[rows.scale == scale]["run"].iloc[0])
    lengths = dataset.load(workspace.dataset(scale))["ep_len"]
    return {"episodes": len(lengths), "frames": int(lengths.sum()), "training windows": one["windows"]["train"],
            "optimizer steps": one["steps"], "seeds": rows[rows.scale == scale].seed.nunique(),
            "paper: episodes": paper.EPISODES[scale], "paper: frames": paper.FRAMES[scale]}


scales = pd.DataFrame({scale: describe_scale(results, scale) for scale in ("pilot", "full")})
display(scales)
selection = read_selection(workspace.need(workspace.selection, "01_curation"))
scores = ", ".join(f"{scale} {selection[selection[scale]].score.mean():.3f}" for scale in ("pilot", "full"))
display(Markdown(
    f"Between pilot and full the data grow {scales.loc['frames', 'full'] / scales.loc['frames', 'pilot']:.1f}-fold and "
    f"the optimizer steps {scales.loc['optimizer steps', 'full'] / scales.loc['optimizer steps', 'pilot']:.1f}-fold. "
    f"The mean curation score is {scores}. So scale, curation and training length vary together, here as in the "
    "paper. The controls below tell them apart."))
facts = pd.DataFrame([(scale, fact, float(value)) for scale in scales for fact, value in (
    ("optimizer steps", scales.loc["optimizer steps", scale]),
    ("mean curation score", selection[selection[scale]].score.mean()),
    ("frames an episode", scales.loc["frames", scale] / scales.loc["episodes", scale]))],
    columns=["scale", "fact", "value"])
write_csv(workspace.measured("facts"), facts)

# %% [markdown]
# ## The baseline's error
#
# The paper: about fourfold lower at full scale. The second table divides by the variance of the target latents and by
# the static prediction's error, since the held-out data and the latent space differ between the scales.

# %%
provenance = collect(profile=profile, data=data, fingerprint=full.fingerprint, selection=full.made.get("selection"),
                     seeds={"pilot": sorted(int(s) for s in pilot_results.seed.unique()),
                            "full": list(range(full_seeds))},
                     base=start.name, base_hash=start.hash, recipe=recipe.__dict__, model=start.model,
                     duration_s=round(time.time() - started, 1))
caption = caption_of(provenance)
baseline = results[(results.condition == "A") & results.metric.isin(["mse", "mse_over_variance", "mse_over_static"])]
ratio_figure = paper_figures.scale_bars(results)
style.add_caption(ratio_figure, caption)
style.save_figure(ratio_figure, workspace.figures / "baseline_mse",
                  style.tidy(baseline[baseline.metric == "mse"], "value", "mse"), provenance)
display(ratio_figure)
means = baseline.groupby(["metric", "split", "scale"]).value.mean().unstack("scale")
means["pilot / full"] = means["pilot"] / means["full"]
display(means.style.format("{:.4f}"))
beats = baseline.query("metric == 'mse_over_static' and split == 'episode'")
display(Markdown("A beats the static prediction on held-out episodes in "
                 + ", ".join(f"{(g.value < 1).sum()} of {len(g)} seeds ({s}, mean ratio {g.value.mean():.3f})"
                             for s, g in beats.groupby("scale", sort=False)) + "."))

# %% [markdown]
# ## Figure 3

# %%
changes = paired.paired_change(results, split=["episode", "window"])
summary = paired.summarise(changes)
auxiliary = [c for c in full_conditions if c != "A"]
figure = paper_figures.figure3(changes, summary, skipped, auxiliary)
style.add_caption(figure, caption)
style.save_figure(figure, workspace.figures / "figure3",
                  paper_figures.study_table(changes, summary, 3, skipped), provenance)
figure

# %% [markdown]
# ## What we found
#
# A sign flip is: better than A at pilot scale (the mean change below 0), not better at full scale. Whether it is more
# than noise is what the intervals say.

# %%
lines = []
for split in ("episode", "window"):
    rows = summary[summary.split == split].set_index(["condition", "scale"])
    lines.append(f"\n**Held-out {split}s**\n")
    for name in auxiliary:
        both = [rows.loc[(name, scale)] for scale in ("pilot", "full") if (name, scale) in rows.index]
        if len(both) < 2:
            lines.append(f"- {name}: not at both scales, so nothing can be said of a flip")
            continue
        pilot_row, full_row = both
        flip = "flips" if pilot_row["mean"] < 0 <= full_row["mean"] else "does not flip from better to worse"
        sure = "both intervals exclude 0" if all(not r.low <= 0 <= r.high for r in both) else \
            "at least one of the two intervals includes 0"
        lines.append(f"- {name}: {paired.number(pilot_row['mean'])} % at pilot, "
                     f"{paired.number(full_row['mean'])} % at full scale: the mean {flip}; {sure}. "
                     f"The paper: {paired.number(paper.reported(3, 'pilot').get(name, float('nan')))} %, "
                     f"{paired.number(paper.reported(3, 'full').get(name, float('nan')))} %.")
inside = summary[(summary.scale == "full") & (summary.split == "episode")]
n_inside = (inside["mean"].abs() <= paper.FULL_SCALE_BAND).sum()
lines.append(f"\nAt full scale, on held-out episodes, {n_inside} of {len(inside)} conditions lie within the paper's "
             f"±{paper.FULL_SCALE_BAND} %. " + paired.power_note(full_seeds))
display(Markdown("\n".join(lines)))

# %%
display(Markdown("In full, on held-out episodes:\n\n" + "\n".join(
    f"- {row.scale} {paired.describe(row, paper.reported(3, row.scale).get(row.condition))}"
    for row in summary[summary.split == "episode"].itertuples())))

# %% [markdown]
# ## The controls
#
# `--study controls` trains what the paper lacks: one test set for all, and arms that differ in one thing only. All of
# these runs are done here, those of notebook 06 included; what notebook 04 has done is not repeated.
#
# Every prediction below is judged by a rule on an interval over seeds. **Lost**: of two arms, the change against A is
# higher in the second (supported: the 95 % interval of the difference lies above 0; contradicted: below 0; whether
# there was a benefit to lose, the effects themselves say). An explanation is *supported* if all that it predicts is,
# and *contradicted* if one thing is. These are many comparisons, none corrected for their number: of twenty that hold
# nothing, one is decided by chance.

# %%
testing, off = study == "controls", controls.NOT_RUN
if testing:
    planned, left_out = controls.of_run(workspace, profile, start, recipe)
    sweep([c.run for c in planned], workspace.runs, jobs or None)
    control_results = controls.results(planned, workspace.runs)
    write_csv(workspace.results("controls"), control_results)
    write_csv(workspace.skipped("controls"), left_out)
    gradients = controls.gradients(control_results, workspace.runs)
    write_csv(workspace.measured("gradients"), gradients)
    display(control_results.groupby(["study", "arm"], sort=False).agg(
        episodes=("episodes", "first"), steps=("steps", "max"), conditions=("condition", "nunique"),
        seeds=("seed", "nunique")))
    display(Markdown(f"{control_results['run'].nunique()} different runs, each judged by the same "
                     f"{len(planned[0].run.test)} episodes."))
    display(left_out) if len(left_out) else print("no condition was skipped")
    testing, off = len(gradients) > 0, "No condition with a head could be run."
if not testing:
    display(Markdown(off))


# %%
def of_study(name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """A study's results, its changes against A, their summary, and its conditions but A."""
    rows = control_results[control_results.study == name]
    changes = paired.paired_change(rows, split=["episode", "window"])
    summary = paired.summarise(changes)
    return rows, changes, summary, in_order(changes.condition)


def made_of(rows: pd.DataFrame) -> dict[str, object]:
    """The provenance of a figure that shows `rows` of the controls."""
    seeds = rows.groupby("episodes").seed.nunique()
    return collect(profile=profile, data=data, fingerprint=planned[0].run.fingerprint, base=start.name,
                   base_hash=start.hash, model=start.model, recipe=planned[0].run.recipe.__dict__,
                   study=rows.study.iloc[0], seeds={f"at {n} episodes": int(k) for n, k in seeds.items()},
                   test_episodes=list(planned[0].run.test), duration_s=round(time.time() - started, 1))


# %% [markdown]
# ## Scale or curation?
#
# Best by score or random, at the pilot's and at the full set's size, and random ones between. **Scale**, the paper's
# explanation, predicts that more data take the benefit away under *both* selections. **Curation** predicts that random
# episodes in the place of the best take it away at *both* sizes. Both may be true. All arms have the same number of
# epochs, so more data are more steps, too: the next section parts those.

# %%
if testing:
    rows, scale_changes, scale_summary, names = of_study("scale")
    sizes = {f"random {n}": n for n in sorted(rows[rows.selection == "random"].episodes.unique())}
    few, many = min(sizes.values()), max(sizes.values())
    crossings = {c: scaling.crossing(scale_changes, sizes, np.random.default_rng(0), c) for c in names}
    here = made_of(rows)
    figure = control_figures.effect_against_size(crossings, scale_changes, sizes)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_scale", pd.concat([
        paper_figures.study_table(scale_changes, scale_summary, 3, left_out), scaling.crossing_table(crossings)]), here)
    display(figure, contrasts.effects(scale_summary, sizes))
    error = rows[(rows.condition == "A") & (rows.metric == "mse") & (rows.split == "episode")]
    error = error.groupby("arm").value.mean()[[*sizes]]
    display(Markdown(f"A's MSE: {', '.join(f'{v:.4f} ({arm})' for arm, v in error.items())}.\n\nWhere the effect, "
                     "interpolated over the logarithm of the size, crosses zero:\n\n" + "\n".join(
        f"- {scaling.describe_crossing(crossing, c)}." for c, crossing in crossings.items())))
else:
    display(Markdown(off))

# %%
if testing:
    corners = [f"{kind} {n}" for n in (few, many) for kind in ("best", "random")]
    figure = control_figures.effects_by_arm(scale_changes, scale_summary, corners)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_curation", paper_figures.study_table(
        *(t[t.scale.isin(corners)] for t in (scale_changes, scale_summary)), 3, left_out), here)
    by_scale = contrasts.lost(scale_changes, {f"{kind} episodes, {few} → {many}: lost": (f"{kind} {few}",
                                              f"{kind} {many}") for kind in ("best", "random")}, names)
    by_curation = contrasts.lost(scale_changes, {f"{n} episodes, best → random: lost": (f"best {n}", f"random {n}")
                                                 for n in (few, many)}, names)
    both = contrasts.lost(scale_changes, {f"best {few} → random {many}: lost": (corners[0], corners[-1])}, names)
    display(figure, contrasts.effects(scale_summary, corners), Markdown(
        contrasts.markdown(by_scale | by_curation) + "\n\n" + contrasts.conclude(
            {"scale": by_scale, "curation": by_curation}) + "\n\nBoth at once, as in the paper:\n\n"
        + contrasts.markdown(both)))

# %%
if testing:
    told = paper.reported(3, "full") - paper.reported(3, "pilot")
    display(Markdown("**What this cannot decide.** " + contrasts.undecided(by_scale | by_curation) + " "
                     + contrasts.reach(scale_changes) + " The paper's own "
                     f"differences are {', '.join(f'{c} {paired.number(told[c])}' for c in told.index)} points. "
                     "The score that ranks the episodes is ours after the paper's; its pilot was picked by hand."))

# %% [markdown]
# ## Steps or data?
#
# Twenty epochs are about nine times as many steps on the paper's full set as on its pilot. Here both sets, the best
# episodes of each size, are trained for their own number of steps and for the other's. **Data** predicts that the
# benefit is lost from the small to the large set at equal steps, for *both* numbers of steps; **steps**, that it is
# lost from few to many steps on the same set, for *both* sets.

# %%
own, other = ({size: f"{size} set, {words}" for size, words in each.items()} for each in (
    {"pilot": "its own steps", "full": "its own steps"},
    {"pilot": "the full set's steps", "full": "the pilot set's steps"}))
if testing:
    rows, step_changes, step_summary, names = of_study("steps")
    arms = [own["pilot"], other["full"], other["pilot"], own["full"]]  # equal numbers of steps side by side
    took = rows.groupby("arm").steps.first()
    here = made_of(rows)
    figure = control_figures.effects_by_arm(step_changes, step_summary, arms)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_steps",
                      paper_figures.study_table(step_changes, step_summary, 3, left_out), here)
    display(figure, contrasts.effects(step_summary, arms))
    by_data = contrasts.lost(step_changes, {
        f"more data, the {size}'s {took[a]} steps: lost": (a, b)
        for size, a, b in (("pilot", own["pilot"], other["full"]), ("full set", other["pilot"], own["full"]))}, names)
    by_steps = contrasts.lost(step_changes, {
        f"{size} set, {took[a]} → {took[b]} steps: lost": (a, b)
        for size, a, b in (("pilot", own["pilot"], other["pilot"]), ("full", other["full"], own["full"]))}, names)
    display(Markdown(contrasts.markdown(by_data | by_steps) + "\n\n"
                     + contrasts.conclude({"data": by_data, "steps": by_steps})))
else:
    display(Markdown(off))

# %% [markdown]
# The same along training: A's error, and the changes against A, each validated on the same test episodes after equal
# numbers of steps.

# %%
if testing:
    along = controls.along_training(rows, workspace.runs)
    unit = along.metric.map({"mse": "next-latent MSE", "mse change %": "change in next-latent MSE (%)"})
    drawn = along.assign(panel=along.condition.where(along.metric == "mse", along.condition + " against A"), unit=unit,
                         series=along.scale, repeat=along.seed, x=along.step)
    figure = curve_figures.curves_by_panel(drawn, "optimizer step", order=arms)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_curves", style.tidy(along, "value", ""), here)
    display(figure)

# %%
if testing:
    by_step = along[along.condition == "A"].pivot(index=["scale", "seed"], columns="step", values="value")
    end = by_step.ffill(axis=1).iloc[:, -1]
    mse, turned = end.groupby("scale").mean(), (by_step.min(axis=1) < end).groupby("scale").agg(["sum", "size"])
    before = by_step[0].mean()  # the base, on the same test episodes
    fall = {arm: mse[own["pilot"]] / mse[arm] for arm in arms}
    display(Markdown("\n".join(
        f"- {arm}: A's MSE is {mse[arm]:.4f} after {took[arm]} steps; it was lower before in {turned['sum'][arm]} of "
        f"{turned['size'][arm]} seeds." for arm in arms) + "\n\n"
        f"Before any step it is {before:.4f}. A's MSE of the pilot's own run is "
        f"{fall[own['full']]:.2f} times that of the full set's (the paper: about {paper.BASELINE_MSE_RATIO:g} times, "
        f"judged by other data at each scale). More data alone: {fall[other['full']]:.2f} times; more steps alone: "
        f"{fall[other['pilot']]:.2f} times."))

# %%
if testing:
    display(Markdown("**What this cannot decide.** " + contrasts.undecided(by_data | by_steps) + " "
                     + contrasts.reach(step_changes) + " The schedule ends where the steps end: a run of equal steps "
                     "on other data has the same learning rates, while a longer run is not a shorter one continued. E "
                     "was not crossed."))

# %% [markdown]
# ## Do the gradients conflict?
#
# The paper: at full scale the auxiliary loss *"either becomes redundant or actively interferes through gradient
# conflict"*. At a few steps of each run we take the gradients of the prediction and of each head on the encoder that
# both train. **Interferes** predicts that the cosine between them, mean along training, is below 0 at full scale, and
# lower than at the pilot's. **Redundant** predicts that the head's gradient, over the prediction's, gets smaller.

# %%
if testing:
    here = made_of(control_results[control_results.study == "conflict"])
    figure = curve_figures.gradient_cosines(gradients)
    drawn = gradients.melt(["condition", "scale", "seed", "step", "head"], ["cosine", "ratio", "norm", "norm_to"],
                           "metric")
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_gradients", style.tidy(drawn, "value", ""), here)
    means = gradients.groupby(["condition", "head", "scale"], sort=False)[["cosine", "ratio", "norm", "norm_to"]].mean()
    display(figure, means.unstack("scale").style.format("{:.3g}").set_caption(
        "mean along training; ratio = norm (the head's, weighted) / norm_to (the prediction's)"))
    interferes, redundant = contrasts.interferes(gradients)
    display(Markdown(contrasts.markdown(interferes | redundant) + "\n\n" + contrasts.conclude(
        {"interferes": interferes, "redundant": redundant})))
else:
    display(Markdown(off))

# %%
if testing:
    pull = gradients.assign(pull=100 * gradients.cosine * gradients.ratio).groupby(
        ["scale", "condition", "head"], sort=False).pull.mean()
    display(Markdown(
        "How much of it matters: a step along a head's weighted gradient moves the encoder along the prediction's by "
        "cosine × norm ratio of the prediction's own step. On average: " + "; ".join(
            f"{paired.number(v, 2)} % ({c}, {head} head, {scale})" for (scale, c, head), v in pull.items())
        + ".\n\n**What this cannot decide.** " + contrasts.undecided(interferes | redundant) + " These are gradients "
        "of single batches before Adam rescales them, at a handful of steps of runs of different lengths; a ratio may "
        "fall because the prediction's gradient grows; and directions that oppose on the encoder need not make the "
        "held-out error worse."))

# %% [markdown]
# ## Is it the weight of the auxiliary loss?
#
# The paper fixes it at 0.1. If auxiliary supervision is a prior that helps where data are few and interferes where they
# are many, then a **stronger prior** helps more at the pilot's size (the change falls with the logarithm of the weight)
# and does more harm at full scale (it rises).

# %%
if testing:
    rows, weight_changes, weight_summary, names = of_study("weight")
    arms = rows[rows.condition != "A"].drop_duplicates("arm").set_index("arm").head_weight
    weighed = weight_summary[weight_summary.split == "episode"]
    weighed = weighed.assign(weight=weighed.scale.map(arms), scale=weighed.scale.str.partition(",")[0])
    weighed = weighed.sort_values("scale", key=lambda s: s.map({"pilot": 0, "full": 1}), kind="stable")
    here = made_of(rows)
    figure = control_figures.weight_curve(weighed, used=recipe.head_weight)
    table = paper_figures.study_table(weight_changes, weight_summary, 3, left_out)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_weights",
                      table.assign(head_weight=table.scale.map(arms)), here)
    each = weight_changes[weight_changes.split == "episode"]
    stronger = contrasts.stronger(each.assign(weight=each.scale.map(arms), size=each.scale.str.partition(",")[0]))
    display(figure, contrasts.effects(weight_summary, arms.index), Markdown(
        contrasts.markdown(stronger) + "\n\n" + contrasts.conclude({"a prior": stronger})))
else:
    display(Markdown(off))

# %%
if testing:
    better, worse = ((weighed.high < 0).sum(), (weighed.low > 0).sum())
    best = weighed.loc[weighed.groupby(["scale", "condition"], sort=False)["mean"].idxmin()]
    display(Markdown(
        f"Of {len(weighed)} combinations of weight, condition and scale {better} are better than A and {worse} worse "
        f"(the interval excludes 0; by chance alone about {0.05 * len(weighed):.1f} would). Lowest mean: " + "; ".join(
            f"{r.scale}, {paired.describe(r)} at weight {r.weight:g}" for r in best.itertuples())
        + ". (The lowest of several is too low by selection.)\n\n**What this cannot decide.** "
        + contrasts.undecided(stronger) + " " + contrasts.reach(weight_changes)))
