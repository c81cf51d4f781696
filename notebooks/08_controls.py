# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · The controls: what tells the explanations apart
#
# **What the paper lacks** is runs like these. Its pilot and its full set differ in size, in selection and in training
# length. Its masks differ in area, in place and in normalisation. Its metric is measured in a latent space that each
# condition trains.
#
# **How we test it.** Many short runs in *arms* that differ in one thing only. All are judged by the same test episodes,
# which none of them trains on. Conditions are paired by seed within an arm.
#
# **The rule.** Each explanation makes predictions. Each prediction is judged by a 95 % interval over seeds.
# *Lost* means that of two arms the change against A is higher in the second. That is supported if the interval of the
# difference lies above 0, and contradicted if it lies below 0. An explanation is *supported* if all its predictions
# are, and *contradicted* if one is. There are many comparisons, and none is corrected for their number. Where there is
# no effect at all, about one in twenty is decided by chance.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure, and decides how large the controls are
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, a hub id, or a path
model = "small"  # its size: small, nano, or paper (ViT-Tiny, 224 px); a checkpoint of yours brings its own
epochs = 6  # passes over the training windows, where the controls' own sizes do not say otherwise
steps = None  # exactly so many optimizer steps, whatever the data's size; None: epochs decide, as in the paper
batch_norm = "paper"  # its buffers follow the batches; frozen: stay the base's; recalibrated: are made anew at the end
lr = 5e-5  # AdamW's peak learning rate
directions = 256  # SIGReg's random projections a step; the public recipe has 1024
val_episodes = 0.15  # share of episodes held out in the main study
probe_seeds = 3  # runs of the main study whose tokens are probed
point_counts = [1, 16, 100, 400]  # points regressed at once; the paper's heads regress 400
jobs = 0  # parallel runs; 0: one a core, or one on a GPU
on = "local"  # where the work is done: local, ray[:address], slurm[:partition]

# %%
import pandas as pd

from lewm_core.conditions import CONDITIONS
from lewm_core.diagnostics import capacity, design, leakage, mask_normalisation, metrics
from lewm_core.diagnostics.ceiling import ceiling
from lewm_core.experiments import controls
from lewm_core.stats import contrasts, explanations, findings, norms, paired, patch_routes, scaling, targets
from lewm_core.stats.arms import Arms, not_asked
from lewm_core.stats.outcomes import OUTCOME, PAPERS, UNTAUGHT
from lewm_core.study import Study
from lewm_core.train import Recipe
from lewm_core.viz import (
    control_figures,
    control_tables,
    curve_figures,
    probe_figures,
    robustness_figures,
    style,
    target_figures,
)
from lewm_core.viz.shown import say, show_table, tell

# %%
study = Study(output, figures, profile, data, on)
start = study.base(base, model)
recipe = Recipe(epochs=epochs, steps=steps, batch_norm=batch_norm, lr=lr, directions=directions,
                val_episodes=val_episodes)

# %% [markdown]
# ## The runs
#
# There are two selections of episodes, the best by score and random ones, at several sizes. Three questions are asked
# on the main study's own episodes instead. The table has every arm by the question it serves;
# `experiments/controls.py` defines them. A run that several questions need, or that notebook 03 or 05 has done, is
# done once.
#
# A verdict on an effect needs its gates open, and these need references: the untouched *base*, *lr-0* and the positive
# control P. The base takes no training, so every arm has it. The other two take a run for each seed and arm, so a small
# profile has them only where notebooks 03 and 05 have trained them. Elsewhere the numbers stand, and no verdict does.

# %%
results = study.run_controls(start, recipe, jobs)
show_table(results.groupby(["study", "arm"], sort=False).agg(
    episodes=("episodes", "first"), steps=("steps", "max"), conditions=("condition", "nunique"),
    seeds=("seed", "nunique")))

# %%
tell(*not_asked(results))

# %% [markdown]
# ## Scale or curation?
#
# **Scale**, the paper's explanation, predicts that more data take the benefit away under *both* selections.
# **Curation** predicts that random episodes in the place of the best take it away at *both* sizes. Both may be true.
# Unless `steps` is set, all arms have the same number of epochs, so more data also mean more steps. The next section
# separates the two.

# %%
scale = Arms.of(results, "scale")
sizes = scale.random_sizes()
few, many = min(sizes.values()), max(sizes.values())
crossings = scaling.crossings(scale.changes, sizes)
study.show(control_figures.effect_against_size(crossings, scale.changes, sizes), "control_scale",
           control_tables.size_table(scale, crossings), study.about("pool", scale.rows))

# %%
corners = [f"{kind} {n}" for n in (few, many) for kind in ("best", "random")]
study.show(control_figures.effects_by_arm(scale.changes, scale.summary, corners), "control_curation",
           control_tables.arm_table(scale, corners), study.about("pool", scale.rows))
show_table(contrasts.effects(scale.summary, corners))

# %%
say(*explanations.told(explanations.scale_or_curation(scale, few, many), scale.changes))

# %%
say("Where the mean effect on random episodes crosses zero, interpolated over the logarithm of the size:", "",
    *(f"- {scaling.describe_crossing(crossing, name)}" for name, crossing in crossings.items()), "",
    "Both at once, as in the paper:", "", contrasts.markdown(explanations.both_at_once(scale, few, many)))

# %% [markdown]
# ## Steps or data?
#
# Twenty epochs are about nine times as many steps on the paper's full set as on its pilot. Here both sets are trained
# for their own number of steps and for the other's. **Data** predicts that the benefit is lost from the small to the
# large set at equal steps, for *both* numbers of steps. **Steps** predicts that it is lost from few to many steps on
# the same set, for *both* sets.

# %%
crossed = Arms.of(results, "steps")
pairs = controls.STEP_ARMS
study.show(control_figures.effects_by_arm(crossed.changes, crossed.summary, pairs), "control_steps",
           control_tables.arm_table(crossed, pairs), study.about("pool", crossed.rows))
show_table(contrasts.effects(crossed.summary, pairs))

# %%
say(*explanations.told(explanations.steps_or_data(crossed, pairs), crossed.changes))

# %% [markdown]
# The same along training, on the same test episodes: A's error, and the changes against A.

# %%
along = controls.along_training(crossed.rows, study.runs)
study.show(curve_figures.curves_by_panel(control_tables.training_curves(along), "optimizer step", order=pairs),
           "control_curves", style.tidy(along, "value", ""), study.about("pool", crossed.rows))
say(*explanations.baseline_along_training(along, pairs, crossed.steps))

# %% [markdown]
# ## Is it the recipe?
#
# The paper's recipe couples the steps to the data's size: its epochs are the same at both scales. It has a learning
# rate of 5e-5, and the buffers of batch normalisation follow the training batches. Here it stands beside the recipe of
# the main study, on the same episodes, by the main study's primary outcome. Where the two recipes are one, so are the
# runs. **Depth** predicts under each: B is better than A, and than its twin with the depth of other frames.

# %%
protocol, arms = Arms.of(results, "protocol", OUTCOME), controls.PROTOCOL_ARMS
study.show(control_figures.effects_by_arm(protocol.changes, protocol.summary, arms, OUTCOME), "control_protocol",
           control_tables.arm_table(protocol, arms), study.about("full", protocol.rows))
show_table(contrasts.effects(protocol.summary, arms))

# %%
say(*explanations.told(targets.by_recipe(protocol, "B", "B-shuf"), protocol.changes))

# %% [markdown]
# ## Is it the target, or having one?
#
# **The paper takes for granted** that a signal acts by what it says of the frame. But a head changes a model even if
# its target says nothing. Four *twins* of B (and of D) have the same head and wrong targets: of other frames (-shuf),
# of another episode (-other), fixed noise (-noise), the output of a frozen random network (-net, which does depend on
# the frame). In B-25 and B-50 that share of the frames has another frame's target, in per cent. With -detached, the
# head learns and its gradient does not reach the encoder. D-raw has displacements in image sides, not standardised.
#
# - **Its own target** predicts: better than A and than every twin, and the more own targets, the better.
# - **Any target** predicts that every twin is better than A, too.
# - **Through the encoder**: better than with a detached head. **The scale**: better than D-raw.
#
# All at full size, on the main study's episodes, by its primary outcome. Raw MSE stands beside it and is not judged.

# %%
by_metric = [Arms.of(results, "targets", metric) for metric in (OUTCOME, PAPERS)]
primary = by_metric[0]
study.show(target_figures.target_effects(by_metric), "control_targets", target_figures.target_table(by_metric),
           study.about("full", primary.rows))
say(*explanations.told(targets.explain(primary, design.variants()), primary.changes))
tell(*targets.left_out(primary, design.variants()))

# %%
doses = target_figures.dose_curves(by_metric, design.variants())
study.show(curve_figures.curves_by_panel(doses, "frames with their own target (%)"), "control_dose", doses,
           study.about("full", primary.rows))

# %% [markdown]
# ## Which batch normalisation?
#
# The paper's buffers follow the training batches, even where nothing else moves (*lr-0*). *Frozen*, they stay the
# base's, in training too. *Recalibrated*, they are estimated anew on the training frames at the end. Here are all three
# for A, at full size, with the main study's recipe otherwise. One was chosen for it by A alone
# (`docs/preregistration.md`).

# %%
ways, judged_by = Arms.of(results, "batch_norm", OUTCOME), (OUTCOME, "mse_over_static")
study.show(target_figures.batch_norm_levels(ways, judged_by), "control_batch_norm",
           target_figures.batch_norm_table(ways, judged_by), study.about("full", ways.rows))
tell(*norms.describe(ways, judged_by, batch_norm))

# %% [markdown]
# ## Does the paper's split leak frames, or episodes?
#
# A window that is held out at random shares frames with training windows, and its episode. An unseen episode shares
# neither. Between them: **blocks** of training episodes, half an episode each, that share no frame. **Shared frames**
# predict that the error rises as much from held-out windows to blocks as to unseen episodes, beyond what the base's
# does. **Shared episodes** predict that it does not.
#
# All three are judged in the same runs, paired by seed; in the figure as error over that of persistence. The episodes
# are random ones, as the test episodes are. The base before fine-tuning saw none of them.

# %%
blocks = results[results.study == "blocks"]
windows_of_a = leakage.leak_table(blocks, study.runs, study.data("pool"), start)
leak, by_shared = leakage.leak_summary(windows_of_a), leakage.error_by_shared(windows_of_a)
study.show(robustness_figures.leak_chart(by_shared, leak), "control_blocks",
           control_tables.leak_table(by_shared, leak), study.about("pool", blocks))
tell(*leakage.describe_leak(leak), *leakage.describe_parts(leak))

# %% [markdown]
# And does the sign of an effect on the MSE depend on which of the three is held out?

# %%
for arm, rows in blocks.groupby("arm", sort=False):
    by_split = paired.paired_change(rows[~rows.condition.isin(UNTAUGHT)], "mse", list(style.SPLIT))
    tell(*(f"{arm}: {line}" for line in findings.splits_differ(by_split)))

# %% [markdown]
# ## Is it the normalisation of the masks?
#
# C1 to C3 differ from B in how many pixels are supervised, which ones, and over how many the depth is normalised.
# **C1-rnd** to **C3-rnd** move the mask to a random place, the same for all frames of an episode. **C1-ff** to
# **C3-ff** supervise inside the mask and normalise over the full frame. The paper's explanation predicts that
#
# - the variance of the estimated shift falls as the region grows, and so does that of the scale (over episodes);
# - the gradient of the loss is noisier if a small region is normalised over itself than if over the frame;
# - the benefit grows with the area, from C1 over C2 to C3 (slope over the logarithm of the area);
# - B, over the full frame, is better than C1;
# - normalising over the frame repairs the masks: the mean of C1-ff − C1, C2-ff − C2, C3-ff − C3 is below 0.
#
# A different explanation is that only the area matters. It predicts that the same masks at random places do as well.

# %%
masks = Arms.of(results, "masks")
areas = mask_normalisation.supervised_shares(study.data("pool"), masks.conditions)
study.show(control_figures.area_families(control_tables.families_by_area(masks, areas)), "control_masks",
           control_tables.arm_table(masks, figure=2), study.about("pool", masks.rows))
show_table(contrasts.effects(masks.summary, ["pilot"]))

# %% [markdown]
# ### The noise, without training
#
# Regions of several sizes at random places: *compact* (a disc, like a mask) and *scattered* pixels. Left and middle:
# the variance of the estimated shift and scale over regions of one size, divided by the squared mean scale, since the
# loss divides by the scale. Right: the variance of the loss's gradient over such regions, divided by the squared mean
# gradient. It is the gradient with respect to the latents of a trained B, through its own head.
#
# The table below gives slopes as doublings of the variance per doubling of the area: at −1, twice the area halves it.

# %%
small = 0.03  # of the frame: the paper's masks cover 2 to 5 %
measured = mask_normalisation.noise_of_run(masks.rows, study.runs, study.data("pool"), (0.01, small, 0.1, 0.3))
noise = control_tables.noise(*measured)
figure = curve_figures.curves_by_panel(control_tables.noise_curves(noise), "share of the frame (log scale)", log=True,
                                       marks={name: share for name, share in areas.items() if share < 1})
study.show(figure, "control_noise", style.tidy(noise, "value", "", scale="pilot", condition="B"),
           study.about("pool", masks.rows))

# %%
say(*explanations.told(explanations.instability(masks, areas, design.mask_controls(), measured, small), masks.changes))

# %% [markdown]
# ## Do the gradients conflict?
#
# The paper: at full scale the auxiliary loss *"either becomes redundant or actively interferes through gradient
# conflict"*. At a few steps of each run we measure the gradients of the prediction loss and of each head's loss with
# respect to the encoder, which both train. **Interferes** predicts that their cosine, averaged along training, is below
# 0 at full scale, and lower than at the pilot's. **Redundant** predicts that the norm of the head's gradient, divided
# by that of the prediction's, gets smaller.

# %%
conflict = Arms.of(results, "conflict")
gradients = controls.gradients(results, study.runs)
study.keep("gradients", gradients)
study.show(curve_figures.gradient_cosines(gradients), "control_gradients",
           control_tables.gradients(gradients), study.about("pool", conflict.rows))

# %%
say(*explanations.told(explanations.gradients(gradients)))
say(*explanations.pull(gradients))

# %% [markdown]
# These are gradients of single batches, before Adam rescales them. A ratio may also fall because the prediction's
# gradient grows. And gradients that oppose each other on the encoder need not make the held-out error worse.

# %% [markdown]
# ## Is it the weight of the auxiliary loss?
#
# The paper fixes it at 0.1. **A prior** would help where data are few and interfere where they are many. Then a larger
# weight helps more at the pilot's size (the change against A falls with the logarithm of the weight) and does more harm
# at full scale (it rises).

# %%
weight = Arms.of(results, "weight")
summary, by_seed = (explanations.by_weight(weight, table) for table in (weight.summary, weight.changes))
sized = (rows.assign(scale=rows["size"]) for rows in (summary, by_seed))
study.show(curve_figures.weight_curve(*sized, used=recipe.head_weight),
           "control_weights", control_tables.arm_table(weight), study.about("pool", weight.rows))
say(*explanations.told(explanations.a_prior(weight), weight.changes))

# %% [markdown]
# ## Do signals help more through patch tokens?
#
# **The paper concludes** (section 4.4) that the head's architecture is at fault, and proposes a head or a predictor
# that reads patch tokens (section 7). Here the same depth and tracks supervise a head on patch tokens (B-patch and
# D-patch, against A). They also supervise such a head beside a predictor that reads patch tokens (B-pp and D-pp,
# against A-pp).

# %%
patches = Arms.of(results, "patches")
changes = patch_routes.route_changes(patches.rows, design.baselines())
table = patch_routes.route_table(changes, design.routes(), patches.shut)
study.show(control_figures.patch_effects(changes, table), "control_patches",
           style.tidy(changes, "change", "mse change %"), study.about("pool", patches.rows))
tell(*patch_routes.describe_routes(table, changes, design.routes()))

# %% [markdown]
# ## Does it depend on the metric?
#
# MSE is measured in each model's own latent space, and the encoder is trained. Here the pilot runs of notebook 03 are
# compared in one space for all, the *yardstick*: a ridge map, fitted to training windows, turns the change that a model
# predicts into the change of the frozen base encoder's latent. The error is divided by that of persistence.
#
# Beside it are the error 1, 5 and 10 steps ahead (`rollout_1`, …), divided by that of persistence too, and the variance
# and effective rank of the latents, which say whether they shrink or flatten. The sentences are on held-out episodes.

# %%
pilot_results, full_results = study.results("pilot"), study.results("full")
more = [metrics.metric_table(rows, study.runs, study.everything, start) for rows in (pilot_results, full_results)]
study.keep("metrics", pd.concat(more))

# %%
common = pd.concat([pilot_results, more[0]])
shown = [m for m in (*metrics.ERRORS, "latent_variance", "effective_rank") if m in set(common.metric)]
_, by_metric = design.effects(common, shown)
drawn = by_metric[by_metric.condition.isin(CONDITIONS)]
study.show(robustness_figures.metric_panels(drawn), "control_common_metrics",
           style.tidy(drawn, "mean", "change %"), study.about("pilot", pilot_results))
tell(*findings.over_metrics(paired.judged(by_metric), metrics.ERRORS))

# %% [markdown]
# ## How well could tracks be read at all?
#
# Notebook 06 regresses displacements from tokens. Here is a ceiling: the same probes on the true state (the gripper's
# pose and opening, the object's centroid), of the frame alone and with its change since the first frame. If the state
# recovers no more than the tokens do, the tokens are not what is missing. *both* is CLS and patch tokens together. An
# attention probe is also told where a point started, so that it can look there.

# %%
curve = ceiling(full_results, study.runs, study.everything, point_counts, probe_seeds)
study.keep("capacity", curve)
first = curve[curve.seed == curve.seed.min()]
study.show(probe_figures.capacity_curves(first), "control_capacity_ceiling",
           style.tidy(first.assign(condition="A"), "error", "track error (px at 224)", scale="full", split="episode"),
           study.about("full", full_results[full_results.seed == full_results.seed.min()]))
tell(*capacity.describe_curve(first))
