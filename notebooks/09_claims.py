# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 09 · What is left of the claims
#
# **The question.** Which of the paper's sentences do these runs support, which do they contradict, and which can they
# not decide?
#
# **How we judge.** Every claim stands beside the paper's number and ours with its 95 % interval over seeds. The verdict
# follows a rule, written down in `lewm_core/stats/verdicts.py` and shown under the table. That an interval includes 0
# is not taken as evidence. A claimed benefit is contradicted only if the interval rules out one as large as 1.3 %,
# which the paper itself calls none. A claimed absence needs a test of equivalence. What these runs cannot decide is
# *not decided at this power*: beside it stands the smallest change that they would have detected.
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
from lewm_core.stats import claims, claims_report, findings, findings_probes
from lewm_core.study import Study, say, tell
from lewm_core.viz import robustness_figures, style

study = Study(output, figures, profile, data)
evidence = study.evidence(controls)
about = study.about("full", evidence.results)

# %% [markdown]
# ## What these runs are
#
# Before any verdict: do the models predict better than persistence, how much does the paper's split leak, and did the
# track heads learn anything? A verdict on models that do not, or heads that did not, says little.

# %%
tell(*findings.persistence(evidence.results), *leakage.describe_leak(evidence.leak),
     *findings_probes.against_floors(evidence.floors))

# %% [markdown]
# ## Does a verdict survive another metric?
#
# The verdicts in the table below are on the next-latent MSE of held-out episodes. The map shows whether they survive
# another metric, or the paper's split by windows. A row is a claim about an effect, a column is a metric.

# %%
by_metric = claims.survival(evidence, metrics.ERRORS)
study.show(robustness_figures.survival_map(by_metric), "claims_by_metric",
           style.tidy(by_metric.assign(value=by_metric.n), "value", "n"), about)

# %% [markdown]
# ## The claims

# %%
judged = claims.claims_table(evidence, provenance=about)
study.keep_claims(judged)
tell(*claims_report.describe_survival(by_metric, judged))
say(claims_report.markdown(judged))
