# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · Rollouts, looked up and decoded (Figure 4)
#
# **The paper claims** (section 4.5): LeWorldModel predicts latents and has no pixel decoder, and a cross-attention
# decoder trained afterwards is too weak to be evidence. So each predicted latent is shown as the L2-nearest real frame
# of the corpus: *"a proxy rather than a generation"* that reflects the model *"more reliably than the underdetermined
# decoder"*. Figure 4 shows one frame of one rollout, for the baseline and for the depth condition.
#
# **How we test it.** From three real frames and the recorded actions, A and B predict the next ten without seeing
# another frame; fewer where no episode is that long. (D takes B's place where there is no depth.) Each prediction is
# looked up among all frames of the dataset, then among those of its own episode alone, and it is decoded. We also
# measure what the paper shows only as pictures: the distance to the true latent at each step, beside that of
# *persistence*, which repeats the last context frame's latent.
#
# **And can it be used?** The paper measures *"next-latent prediction MSE rather than downstream manipulation success"*
# (section 6). Our tabletop can be stepped. So we plan with the models towards goal frames and count how often the goals
# are reached, beside random actions and beside doing nothing.
#
# **Where we differ.** All rollouts are on episodes held out from both models' training. Distances are measured in each
# model's own latent space. So we compare models by their ratios to persistence in the same space, not by distances.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
rollout_scale = "full"  # which runs and data are shown: pilot or full
rollout_seed = 0  # the run of each condition that is shown
rollout_steps = 10  # predicted frames (5 a second); the paper's Figure 4 has 10
rollout_stride = 5  # frames between the starts of two rollouts of one episode, for the averages
show_episode = ""  # id of a held-out episode for Figure 4; empty: the one whose rollout moves most
decoder_steps = 200  # optimizer steps of each decoder
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, a hub id, or a path
model = "small"  # its size: small, nano, or paper (ViT-Tiny, 224 px); a checkpoint of yours brings its own
plan_tasks = 32  # tasks on the tabletop, one an episode; 0: none
plan_ahead = 6  # frames from a task's start to its goal, and steps planned ahead; the budget is twice as many
plan_every = 6  # steps between two plans; as in the public evaluation, a plan is carried out to its end
plan_samples = 64  # candidates of an iteration of the cross-entropy method; the public code has 300
plan_iterations = 10  # of the cross-entropy method; the public code has 30
random_repeats = 3  # times that the random actions are drawn for each task

# %%
from functools import partial

from lewm_core.diagnostics import planning_study, playback, rollout_study
from lewm_core.diagnostics.decoder import DecoderRecipe
from lewm_core.diagnostics.planning import NEAR
from lewm_core.diagnostics.planning_study import PlanRecipe
from lewm_core.stats import findings, findings_rollouts
from lewm_core.study import Study
from lewm_core.utils import provenance
from lewm_core.viz import rollout_figures
from lewm_core.viz.dashboard import Dashboard
from lewm_core.viz.shown import show_table, tell

# %%
study = Study(output, figures, profile, data)
frames, results = study.data(rollout_scale, rollout_seed), study.results(rollout_scale)
names = rollout_study.compared(results, rollout_seed)
tell(f"Compared: {' and '.join(names)}, seed {rollout_seed}.", *findings.not_run(study.skipped(rollout_scale)))

# %% [markdown]
# ## Rollouts: how far from the truth?
#
# The corpus is every frame of the dataset, encoded by each model. It includes the episodes that are rolled out, and so
# the true future frames.

# %%
models = {name: study.model(results, name, rollout_seed) for name in names}
worlds = rollout_study.encode(models, frames)
rollouts = rollout_study.roll_out(worlds, frames, rollout_scale, rollout_seed, study.recipe(results), rollout_steps,
                                  rollout_stride, study.sets.of_run(rollout_scale, rollout_seed).test)
tell(*rollouts.told())

# %% [markdown]
# Each distance is divided by the spread of the model's own corpus: the root mean square distance of its latents from
# their mean. A panel is a model's latent space, with persistence in the same. On the right, for each step, the model's
# mean distance divided by that of persistence, a ratio of means over episodes with its 95 % t interval.

# %%
about = study.about(rollout_scale, results[results.seed == rollout_seed], conditions=names, steps=rollouts.steps,
                    history=rollouts.history, held_out=[rollouts.ids[e] for e in rollouts.held])
table = rollouts.table
study.show(rollout_figures.distance(rollouts), "rollout_distance", rollout_figures.distance_numbers(rollouts), about)

# %% [markdown]
# The mean distance divided by that of persistence in the same space, with a 95 % t interval over *episodes*. Below 1 is
# better than not predicting at all. Then the same ratio at the first and at the last step:

# %%
tell(*findings_rollouts.distances(table), *findings_rollouts.along_steps(table))

# %% [markdown]
# ## Decoders
#
# One small cross-attention decoder per model, from one latent to pixels: learned position queries attend to tokens made
# of the latent. It is trained on the episodes that the model was trained on. The table has its PSNR, that of the mean
# image of the training frames, and the *gain* of the first over the second.

# %%
decoders, psnr = rollout_study.train_decoders(rollouts, DecoderRecipe(steps=decoder_steps))
show_table(psnr, "{:.2f} dB")

# %% [markdown]
# ## Figure 4
#
# The rollout shown is not a random one. Unless `show_episode` names another, it is the one in which most happens: where
# persistence is furthest from the truth. The averages above are over all rollouts. Under a retrieved frame stand its
# episode and frame number, and *d*, the distance of the prediction from it.

# %%
episode, start = rollout_study.choose(rollouts, show_episode)
pictures = rollout_figures.columns(rollouts, decoders, episode, start)
shown = rollout_figures.figure4_columns(pictures)
distances = rollout_figures.numbers(rollouts, rollouts.of(episode, start), ["distance", "retrieval_distance"])
study.show(rollout_figures.strip(rollouts, shown, episode, start), "figure4", distances, about)

# %%
rollout_figures.animation(rollouts, shown, study.workspace.figures / "figure4.gif")

# %% [markdown]
# Retrieval from the whole corpus beside retrieval from the episode alone, with the frozen last context frame:

# %%
both = rollout_study.both_scopes(rollouts, episode, start)
study.show(rollout_figures.strip(rollouts, rollout_figures.scope_columns(pictures), episode, start), "rollout_scopes",
           rollout_figures.numbers(rollouts, both, ["retrieval_distance"]), about)

# %% [markdown]
# ## How steadily does the retrieved frame move?
#
# The table of the author's rollout dashboard, over all rollouts; *global* is retrieval from the whole corpus, *episode*
# from the episode alone. `same_episode` is the share of the steps (%) that find the rollout's own episode, and
# `unique_frames` the number of different frames found. The others count transitions from one retrieved frame to the
# next: `switches` to another episode, the `mean_jump` in frames within one, the share (%) that go forwards
# (`monotonicity`) or stay on one frame (`repeated`).

# %%
steady = rollout_study.stability(rollouts)
measures = ["same_episode", "switches", "mean_jump", "monotonicity", "unique_frames", "repeated"]
show_table(steady.groupby(["scope", "model"], sort=False)[measures].mean().round(1))

# %% [markdown]
# ## Tags
#
# Each rollout gets the automatic tags of the author's dashboard, from the models' ratios to persistence, which it calls
# static: *static-dominates* (no model is nearer than persistence) or *models-beat-static* (every model is), *tight-tie*
# or *large-model-gap* between the models, and *best:* with a model's name. Its thresholds are not published. Ours are
# constants of `lewm_core.diagnostics.retrieval`.

# %%
tagged = rollout_study.tags(rollouts)
tell(*findings_rollouts.tags(list(tagged.values())),
     f"Figure 4's rollout: {', '.join(tagged[episode, start]) or 'no tag'}.")

# %% [markdown]
# ## Look for yourself
#
# Our dashboard plays any episode of the study, from its first frames to its last, as any condition with a finished run
# predicts it. With a running kernel a condition is loaded when its box is ticked. The page has a few episodes with all
# conditions, and needs no kernel.

# %%
dashboard = Dashboard.of(rollouts, decoders, DecoderRecipe(steps=decoder_steps), provenance.caption(about),
                         playback.offered(results, rollout_seed), partial(study.model, results, seed=rollout_seed),
                         first=[episode])
tell(dashboard.saved(study.workspace.dashboard))

# %%
dashboard

# %% [markdown]
# ## Can it be used? Planning on the tabletop
#
# A task starts at some frame of an unseen episode, and its goal is the frame `plan_ahead` later. A goal is reached when
# gripper and object are both near it at some step. Every goal needs motion, by more than twice the distance that counts
# as near: of the gripper alone (*reach*) or of the object (*move*).
#
# A plan is the sequence of actions after which the last predicted latent is nearest to that of the goal, as the
# cross-entropy method finds it. After `plan_every` steps a new one is made from new pictures. Planning sees pictures
# and the gripper's own state. The simulator's truth is used only to judge.
#
# Three methods use no model: *static* does nothing, *random* draws actions from the training episodes, and *recorded*
# repeats what the recorded gripper did, which shows what the simulation itself allows. Beside A and the condition that
# is compared with it stands the base before fine-tuning; and, where they were run, the base after all steps at learning
# rate 0 (lr-0) and the positive control (P), which learns the true state.

# %%
planning = PlanRecipe(plan_tasks, plan_ahead, plan_every, plan_samples, plan_iterations, random_repeats)
beside = {name: study.model(results, name, rollout_seed) for name in planning_study.beside(results, rollout_seed)}
planned = planning_study.plan(study.source, study.selection.episode, rollouts, study.base(base, model),
                              about["base_hash"], planning, beside)
tell(*planned.told(planning))

# %%
study.show(rollout_figures.planning(planned), "planning",
           rollout_figures.planning_numbers(planned, rollouts), about | planned.record(planning))

# %% [markdown]
# The share of goals reached, over all tasks and by kind. *left*: the median distance to go at the end, divided by that
# at the start; the object's only where it must move. *prefers recorded*: the share of random action sequences that the
# model's cost ranks behind the recorded actions, which do lead to the goal (0.5 is chance).

# %%
show_table(planned.outcomes, precision=2, na_rep="–")

# %% [markdown]
# Every model against the base, against A and against random actions, on the same tasks. *only_method* and
# *only_against* count the goals that one of the two alone reached. *p* is that of the exact McNemar test, *p_holm* is
# corrected for the number of these pairs. Random actions enter with their first try, since the model has one too.

# %%
show_table(planned.comparisons, {"difference": "{:.2f}", "p": "{:.2g}", "p_holm": "{:.2g}"}, index=False, na_rep="–")

# %% [markdown]
# ## What we found
#
# Shares of goals have Wilson's 95 % interval; of the random actions all tries count. Models are compared on the same
# tasks by the exact McNemar test; a difference is told as *more* or *fewer goals* where the corrected p is below 0.05.
# All intervals of this notebook are over episodes or tasks, none over seeds.

# %%
gain = psnr.gain.to_dict()
tell(*findings_rollouts.compared(table), *findings_rollouts.steadiness(steady[steady.scope == "global"]),
     *findings_rollouts.decoders({name: gain.get((name, "held out"), float("nan")) for name in names}))

# %%
tell(*findings_rollouts.planning(planned.success, NEAR),
     *findings_rollouts.goals_compared(planned.comparisons),
     *findings_rollouts.prefers_recorded(planned.preferred))

# %% [markdown]
# ## Where the paper is silent
#
# - **A retrieved picture always looks real.** Its distance says how far the prediction is from any real frame; a sharp
#   picture with a large distance is no evidence. Both distances are under the pictures.
# - **The corpus holds the answer.** It includes the true future frames, and frames that the model was trained on. The
#   paper does not say whether its corpus does.
# - **'Retrieval distance'.** The author's dashboard draws one line per model and a static line on an axis of that name,
#   without saying what they measure. We draw the distance to the true latent for all of them.
# - **The latent space is trained.** Dividing by the corpus's spread, or by persistence in the same space, removes the
#   scale of a latent space but not how it may otherwise differ between models (see notebook 03).
