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
# open: the condition's heads learnt something of their target, A predicts better than persistence, A is better than the
# base and than training at learning rate 0, and a positive control (the true state as a target) helps. Where one is
# shut, the verdict is *not tested here*, whatever the numbers are.
#
# Then few primary hypotheses, named beforehand and corrected for their number. Then every claim of the paper beside its
# number and ours with the 95 % interval over seeds. A signal helps only if its condition is better than A *and* than
# its twin with the targets of other frames. A claimed benefit is contradicted only if the interval rules out the
# smallest effect of interest; a claimed absence needs a test of equivalence. The rules stand under the table. What
# these runs cannot decide is *not decided at this power*: beside it stands the smallest change that they would have
# detected.
#
# The outcome is in the world's units: how many centimetres the gripper's position, read from the latent predicted five
# steps ahead, is off on unseen episodes. The paper's MSE, in each model's own latent space, stands beside it.
#
# A verdict is about these runs, with their data, model and training length. It says nothing of the paper's own runs.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge or lerobot
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
controls = False  # also judge what needs the runs of notebook 08

# %%

from lewm_core.diagnostics import leakage, metrics
from lewm_core.stats import (
    claims,
    claims_report,
    depth_effect,
    doses,
    findings,
    findings_probes,
    gates,
    outcomes,
    primary,
)
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
# Does depth, the paper's best signal, make the prediction better? The effect of B on the primary outcome, against A and
# against its twin with other frames' depth, at both scales. The stars are what the paper reports, in its own metric.

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
# How much of its treatment each condition got. These numbers decide nothing.

# %%
show_table(doses.dose_table(evidence.results).set_index(["scale", "condition", "what"]).round(3))
tell(*findings.persistence(evidence.results), *leakage.describe_leak(evidence.leak),
     *findings_probes.against_floors(evidence.floors))

# %% [markdown]
# ## The primary hypotheses

# %%
effects = primary.primary_effects(evidence)
study.show(claim_figures.primary_forest(effects, judgements), "claims_primary",
           style.tidy(effects, "mean", outcomes.OUTCOME, split=outcomes.SPLIT), about)
say(*claims_report.primaries_told(judged))

# %% [markdown]
# ## The claims

# %%
say(claims_report.markdown(judged))

# %% [markdown]
# ## Does a verdict survive another metric?
#
# The map shows whether the verdicts, which are by the primary outcome on held-out episodes, survive another metric, or
# the paper's split by windows. A row is a claim about an effect, a column is a metric. Blank is *not tested here*: by
# that metric a gate is shut.

# %%
by_metric = claims.survival(evidence, [outcomes.OUTCOME, *outcomes.SECONDARY, *metrics.ERRORS])
study.show(robustness_figures.survival_map(by_metric), "claims_by_metric",
           style.tidy(by_metric.assign(value=by_metric.n), "value", "n"), about)
tell(*claims_report.describe_survival(by_metric, judged))
