"""The primary hypotheses: their contrasts, both sides of the test, and Holm's correction over all of them."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lewm_core.stats import paired, primary
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.primary import BOTH, PRIMARY_HYPOTHESES, Hypothesis, primary_effects, primary_table
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.utils.errors import InputError
from tests.stats.planted import NOTHING, THE_PAPERS, Truth, table

GROWS = NOTHING | {("B", "pilot"): -5.0, ("B", "full"): -12.0, ("E", "full"): -12.0}


def found(truth, n=8, seed=0):
    return primary_table(Evidence(table(truth, n, np.random.default_rng(seed)))).set_index("id")


def test_at_most_six_by_the_primary_outcome():
    assert len(PRIMARY_HYPOTHESES) <= 6 and {h.metric for h in PRIMARY_HYPOTHESES} == {"gripper_5"}
    assert len({h.id for h in PRIMARY_HYPOTHESES}) == len(PRIMARY_HYPOTHESES)
    with pytest.raises(InputError, match="better, no better, lost"):
        Hypothesis("H9", "", "B", ("A",), "full", "worse")
    with pytest.raises(InputError, match="pilot, full"):
        Hypothesis("H9", "", "B", ("A",), "large")


def test_the_papers_effects_and_a_benefit_that_grows():
    verdict = found(Truth(THE_PAPERS, noise=0.3)).verdict
    assert verdict.to_dict() == {"H1": CONTRADICTED, "H2": CONTRADICTED, "H3": SUPPORTED, "H4": SUPPORTED,
                                 "H5": CONTRADICTED, "H6": SUPPORTED}
    verdict = found(Truth(GROWS, noise=0.3)).verdict
    assert verdict.to_dict() == {"H1": SUPPORTED, "H2": SUPPORTED, "H3": SUPPORTED, "H4": CONTRADICTED,
                                 "H5": CONTRADICTED, "H6": SUPPORTED}
    assert (found(Truth(THE_PAPERS, noise=14.0, positive=60, learnt=60)).verdict == UNDECIDED).all()


def test_it_takes_both_a_and_the_twin():
    mimic = found(Truth(GROWS, noise=0.3, shuffled=-12.0)).verdict
    assert mimic["H1"] == SUPPORTED and mimic["H2"] == CONTRADICTED and mimic["H3"] == CONTRADICTED


def test_a_shut_gate_or_a_missing_row_is_no_verdict():
    assert (found(Truth(GROWS, positive=0.0)).verdict == UNTESTED).all()
    rows = table(Truth(GROWS, noise=0.3), 8, np.random.default_rng(0))
    half = primary_table(Evidence(rows[rows.condition != "B-shuf"])).set_index("id")
    assert half.reason["H2"] == "B-shuf was not run at scale full" and half.verdict["H1"] == SUPPORTED
    one = primary_table(Evidence(rows[rows.seed == 0]))
    assert (one.verdict == UNTESTED).all() and (one.p == 1).all()


def test_holm_goes_over_all_hypotheses_and_decides():
    """Two-sided p of 0.03 before, six hypotheses: no verdict; alone: one."""
    rows = table(Truth(GROWS, noise=0.3), 5, np.random.default_rng(0))
    b, a = ((rows.condition == c) & (rows.scale == "full") & (rows.metric == "gripper_5") for c in "BA")
    change = np.array([-9.0, -5.0, -1.0, -7.0, 1.0])
    change = -4.6 + (change - change.mean()) / change.std(ddof=1) * 3.2
    rows.loc[b, "value"] = rows.value[a].to_numpy() * (1 + change / 100)
    p = stats.ttest_1samp(change, 0).pvalue
    assert 0.02 < p < 0.05
    alone = primary_table(Evidence(rows), PRIMARY_HYPOTHESES[:1]).iloc[0]
    assert alone.p == pytest.approx(p) == alone.p_holm and alone.verdict == SUPPORTED
    others = [Hypothesis(f"X{i}", "", "D", ("A",), "full") for i in range(5)]
    among = primary_table(Evidence(rows), [PRIMARY_HYPOTHESES[0], *others]).iloc[0]
    assert among.p_holm == pytest.approx(6 * p) and among.verdict == UNDECIDED


def test_holms_correction_is_the_published_one():
    rng = np.random.default_rng(0)
    for m in (1, 2, 6):
        p = rng.random(m) ** 3
        assert paired.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_one_sided_tests_are_the_t_test():
    values = np.random.default_rng(0).normal(1, 2, 7)
    below, above = primary.one_sided(values, 0.5)
    assert below == pytest.approx(stats.ttest_1samp(values, 0.5, alternative="less").pvalue)
    assert below + above == pytest.approx(1)
    assert primary.one_sided([1.0], 0) == (1, 1)
    assert primary.one_sided([1.0, 1.0], 0) == (1, 0) and primary.one_sided([-1.0, -1.0], 0) == (0, 1)


def test_the_effects_by_hand():
    rows = table(Truth(GROWS, noise=0.3), 6, np.random.default_rng(1))
    effects = primary_effects(Evidence(rows)).set_index(["id", "against"])
    wide = rows[rows.metric == "gripper_5"].pivot(index=["scale", "seed"], columns="condition", values="value")
    change = 100 * (wide["B"] / wide["B-shuf"] - 1)
    assert effects["mean"]["H2", "B-shuf"] == pytest.approx(change["full"].mean())
    assert effects["mean"]["H4", "B-shuf"] == pytest.approx((change["full"] - change["pilot"]).mean())
    assert set(effects.loc["H3"].index) == {"A", "B-shuf"} and effects.scale["H4", "B-shuf"] == BOTH
    assert primary_effects(Evidence(rows[rows.condition == "A"])).empty
