# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 09 · What is left of the claims
#
# **The question.** Which of the paper's sentences do these runs support, which do they contradict, and which can they
# not decide?
#
# **How we judge.** First, whether these runs could have shown an effect at all. Every verdict on one needs four gates
# open: the condition's heads learnt more of their target than a constant knows (*head*), A predicts better than
# persistence, which repeats the last latent (*model*), A is better than the base and than all steps at learning rate 0,
# lr-0 (*training*), and a positive control helps, P, whose target is the true state (*control*). Where one is shut, the
# verdict is *not tested here*, whatever the numbers are.
#
# Then few primary hypotheses, named beforehand and corrected for their number. Then every claim of the paper beside its
# number and ours with the 95 % interval over seeds. A signal helps only if its condition is better than A *and* than
# its twin with the targets of other frames (of B that is B-shuf). A claimed benefit is contradicted only if the
# interval rules out the smallest effect of interest; a claimed absence needs a test of equivalence. The rules stand
# under the table. What these runs cannot decide is *not decided at this power*: beside it stands the smallest change
# that they would have detected.
#
# The primary outcome, `gripper_5`, is in the world's units: how many centimetres the gripper's position, read from the
# latent predicted five steps ahead, is off on unseen episodes. The paper's MSE, in each model's own latent space,
# stands beside it.
#
# A verdict is about these runs, with their data, model and training length. It says nothing of the paper's own runs.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
controls = False  # also judge what needs the runs of notebook 08

# %%
from lewm_core.diagnostics import leakage, metrics
from lewm_core.stats import claims, claims_report, depth_effect, doses, gates, outcomes, primary
from lewm_core.study import Study
from lewm_core.viz import claim_figures, robustness_figures, style
from lewm_core.viz.shown import say, show_table, tell

# %%
study = Study(output, figures, profile, data)
evidence = study.evidence(controls)
about = study.about("full", evidence.results)
judged = claims.claims_table(evidence, provenance=about)
study.keep_claims(judged, evidence)

# %% [markdown]
# ## The answer
#
# Does depth, the paper's best single signal, make the prediction better? The effect of B on the primary outcome,
# against A and against B-shuf, at both scales. Below each verdict against A stands what the paper
# reports, in its own metric.

# %%
judgements = primary.primary_table(evidence)
contrasts, by_seed = depth_effect.effect_table(evidence, judgements)
told = [depth_effect.lost(judgements), depth_effect.gates_line(evidence.results)]
study.show(claim_figures.answer(contrasts, by_seed, told), "answer", claim_figures.answer_numbers(contrasts, by_seed),
           about)

# %% [markdown]
# ## Could these runs have shown an effect?

# %%
gated = gates.gate_table(evidence.results)
study.show(claim_figures.gate_map(gated), "claims_gates",
           style.tidy(gated.astype({"open": int}), "open", outcomes.OUTCOME, split=outcomes.SPLIT), about)
say(*claims_report.gates_told(judged))

# %% [markdown]
# How much of its treatment each condition got; these numbers decide nothing. A head's share is 1 if it is perfect, 0 if
# it knows no more than the best constant, and negative if it knows less. How far the latents moved is told beyond what
# they move at learning rate 0. A step is clipped where its gradient is longer than the recipe's limit. The effective
# rank tells how many directions the latents use. Below the table: how many frames of windows held out at random were
# trained on, and how the paper's MSE changes from these windows to unseen episodes.

# %%
show_table(doses.dose_table(evidence.results).set_index(["scale", "condition", "what"]).round(3))
tell(*leakage.describe_leak(evidence.leak))

# %% [markdown]
# ## The primary hypotheses

# %%
effects = primary.primary_effects(evidence)
study.show(claim_figures.primary_forest(effects, judgements), "claims_primary",
           style.tidy(effects, "mean", outcomes.OUTCOME, split=outcomes.SPLIT), about)
say(*claims_report.primaries_told(judged))

# %% [markdown]
# ## The claims
#
# A reason like *gates of D shut at scale full: head* names a gate by its word above. *n* counts seeds; of the
# normalisation's stability, which needs no run, it counts episodes. Scales with a longer name than pilot and full are
# arms of notebook 08.

# %%
say(claims_report.markdown(judged))

# %% [markdown]
# ## Does a verdict survive another metric?
#
# The map shows whether the verdicts, which are by the primary outcome on held-out episodes, survive another metric, or
# the paper's split by windows. A row is a claim about an effect, a column is a metric; the yardstick is the error in
# the latent space of the base, the same for all. Blank is *not tested here*: a gate is shut by that metric, or a
# condition was not run. A claim that no metric can test has no row.

# %%
by_metric = claims.survival(evidence, [outcomes.OUTCOME, *outcomes.SECONDARY, *metrics.ERRORS])
study.show(robustness_figures.survival_map(by_metric), "claims_by_metric",
           style.tidy(by_metric.assign(value=by_metric.n), "value", "n"), about)
tell(*claims_report.describe_survival(by_metric, judged))
