"""Verdicts: every branch of every rule, its rate of error over synthetic studies, and a study with a planted truth."""


import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import claims, claims_report, paper, verdicts
from lewm_core.stats.claims import CLAIMS, claims_table, survival
from lewm_core.stats.claims_report import heading, markdown
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.verdicts import CONTRADICTED, RULES, SUPPORTED, UNDECIDED, UNTESTABLE, VERDICTS, all_of
from lewm_core.utils.errors import InputError

STUDIES = 500
NEAR = np.array([-0.1, 0.0, 0.1])  # ± 0.25 about the mean at n = 3


def seeds(values, first=0):
    return pd.Series(np.asarray(values, float), index=range(first, first + len(values)))


def grows(values):
    return verdicts.grows(values, "")


def judged(evidence):
    return claims_table(evidence, {})


@pytest.mark.parametrize(("rule", "centre", "verdict"), [
    (verdicts.improves, -5, SUPPORTED), (verdicts.improves, -1.3, SUPPORTED), (verdicts.improves, 5, CONTRADICTED),
    (verdicts.improves, -0.7, CONTRADICTED), (verdicts.improves, -0.1, CONTRADICTED), (verdicts.no_gain, 0, SUPPORTED),
    (verdicts.no_gain, 5, SUPPORTED), (verdicts.no_gain, -5, CONTRADICTED), (verdicts.no_gain, -1.3, CONTRADICTED),
    (verdicts.within, 0.5, SUPPORTED), (verdicts.within, -5, CONTRADICTED), (verdicts.within, 5, CONTRADICTED),
    (verdicts.within, 1.3, UNDECIDED),
    (verdicts.shrinks, -1, SUPPORTED), (verdicts.shrinks, 1, CONTRADICTED), (verdicts.shrinks, 0.1, UNDECIDED),
    (grows, 1, SUPPORTED), (grows, -1, CONTRADICTED), (grows, 0.1, UNDECIDED)])
def test_rules_about_one_effect(rule, centre, verdict):
    found = rule(centre + NEAR)
    assert found.verdict == verdict and found.n == 3 and found.mean == pytest.approx(centre)
    assert found.mde == pytest.approx(0.3264, abs=1e-3)
    assert rule(centre + 100 * NEAR).verdict == UNDECIDED, "with a hundred times the scatter nothing is decided"
    one = rule([float(centre)])
    assert (one.verdict, one.reason) == (UNDECIDED, "a single value gives no interval") and np.isnan(one.low)


@pytest.mark.parametrize(("small", "large", "verdict"), [
    (-5, 2, SUPPORTED), (-5, -2, CONTRADICTED), (-0.1, 2, CONTRADICTED), (3, 4, CONTRADICTED), (-5, 0.1, UNDECIDED)])
def test_a_flip_needs_both_signs(small, large, verdict):
    found = verdicts.flips(seeds(small + NEAR), seeds(large + NEAR[::-1]))
    assert found.verdict == verdict and found.mean == pytest.approx(large - small)
    assert verdicts.flips(seeds(-5 + NEAR), seeds(-9 + NEAR)).verdict == CONTRADICTED


def test_a_lost_benefit_is_a_difference_between_scales():
    for large, verdict in ((1, SUPPORTED), (-5, UNDECIDED), (-9, CONTRADICTED)):
        assert verdicts.lost(seeds(-5 + NEAR), seeds(large + NEAR[[1, 2, 0]])).verdict == verdict
    welch = verdicts.lost(seeds([-5.1, -5, -4.9, -5, -5]), seeds(1 + NEAR))
    assert welch.verdict == SUPPORTED and welch.n == 3 and 0.1 < welch.mde < 0.4


@pytest.mark.parametrize(("true", "verdict"), [(4, SUPPORTED), (4.6, SUPPORTED), (1.1, CONTRADICTED),
                                               (9, CONTRADICTED), (5, UNDECIDED)])
@pytest.mark.parametrize("first", [0, 1])  # the same seeds: paired; others: Welch
def test_a_ratio_of_about_four(true, verdict, first):
    scatter = np.array([0.98, 1, 1.02])
    found = verdicts.ratio(seeds(true * scatter), seeds(scatter[[1, 2, 0]], first), 4)
    assert found.verdict == verdict and found.mean == pytest.approx(true, rel=1e-3)
    assert verdicts.ratio(seeds([4.0, 1, 16]), seeds([1.0, 3, 1]), 4).verdict == UNDECIDED


def test_power_scatter_and_counts():
    values = NEAR * 10  # deviation 1, between 0.52 and 6.3; detects 3.26, between 1.7 and 20.5
    for effect, verdict in ((-30, SUPPORTED), (-1, CONTRADICTED), (-5, UNDECIDED)):
        assert verdicts.power(values, effect).verdict == verdict
    assert verdicts.power([1.0], -5).verdict == UNDECIDED
    wide, narrow = seeds(np.linspace(-50, 50, 12)), seeds(np.linspace(-1, 1, 12))
    assert verdicts.scatter(wide, narrow).verdict == SUPPORTED
    assert verdicts.scatter(narrow, wide).verdict == CONTRADICTED
    assert verdicts.scatter(wide, wide * 1.1).verdict == UNDECIDED
    assert verdicts.scatter(wide[:1], narrow).verdict == UNDECIDED
    assert verdicts.count(400_434, 400_000).verdict == SUPPORTED
    assert verdicts.count(18_034_448, 15e6).verdict == CONTRADICTED


def test_a_claim_of_several_parts():
    yes, no, open_, absent = (verdicts.Finding(v, ours=v, n=3, reason=r) for v, r in (
        (SUPPORTED, ""), (CONTRADICTED, ""), (UNDECIDED, ""), (UNTESTABLE, "why")))
    assert all_of({"a": yes, "b": yes}).verdict == SUPPORTED
    assert all_of({"a": yes, "b": no, "c": absent}).verdict == CONTRADICTED
    assert all_of({"a": yes, "b": open_}).verdict == UNDECIDED
    part = all_of({"a": yes, "b": absent})
    assert (part.verdict, part.reason, part.ours) == (UNTESTABLE, "why", "a supported")


def test_verdicts_are_wrong_no_more_often_than_they_say():
    """At the edge of what each rule allows: 2.5 % for one side of a 95 % interval, 5 % for a test of equivalence."""
    rng = np.random.default_rng(0)
    null = [(row,) for row in rng.normal(0, 2, (STUDIES, 3))]
    edge = [(row,) for row in rng.normal(verdicts.BAND, 0.3, (STUDIES, 5))]
    # the two-sided error of `ratio` at its edge, 5 = 4 · FACTOR
    logs = np.exp(rng.normal(0, 0.05, (STUDIES, 2, 5)))
    ratios = [(seeds(5 * a), seeds(b, first=10), 4) for a, b in logs]
    flipping = [(seeds(a), seeds(b)) for a, b in rng.normal(0, 2, (STUDIES, 2, 3))]
    for rule, draws, nominal in (
            (verdicts.improves, null, {SUPPORTED: 0.025}), (verdicts.flips, flipping, {SUPPORTED: 0.002}),
            (verdicts.shrinks, null, {SUPPORTED: 0.025, CONTRADICTED: 0.025}),
            (verdicts.within, edge, {SUPPORTED: 0.05, CONTRADICTED: 0.025}),
            (verdicts.ratio, ratios, {SUPPORTED: 0.05, CONTRADICTED: 0.025})):
        found = [rule(*draw).verdict for draw in draws]
        for verdict, most in nominal.items():
            rate = np.mean([v == verdict for v in found])
            assert rate < most + 3.3 * np.sqrt(most * (1 - most) / STUDIES), (rule.__name__, verdict)


# ----------------------------------------------------------------------------------------------------------- the table


def study(effects, n=4, noise=0.1, ratio=4.0, seed=0):
    """A results table with planted changes {(condition, scale): per cent}; the baseline's MSE falls by `ratio`."""
    rng = np.random.default_rng(seed)
    rows = []
    for scale, level in (("pilot", ratio), ("full", 1.0)):
        for s in range(n):
            base = level * np.exp(rng.normal(0, 0.02))
            for condition in ["A", *(c for c, at in effects if at == scale)]:
                change = effects.get((condition, scale), 0) + noise * rng.normal() * (condition != "A")
                value = base * (1 + change / 100)
                rows += [(condition, scale, s, split, "mse", value) for split in ("episode", "window")]
    return pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "metric", "value"])


PARAMETERS = {"model": 18_034_448, "depth": 400_434, "tracks": 135_848, "centroid": 37_379}
PATCH_AWARE = {"A-pp": "A-pp", "D-pp": "A-pp"}  # compared with A-pp instead of A
THE_PAPERS = {(r.condition, r.scale): r.change for r in paper.REPORTED[paper.REPORTED.figure != 2].itertuples()} | {
    (c, "pilot"): v for c, v in paper.reported(2)[["C1", "C2", "C3"]].items()}


def verdict_of(table):
    return table.set_index("id").verdict


def test_a_study_with_the_papers_effects_supports_what_it_shows_and_contradicts_what_it_does_not():
    found = verdict_of(judged(Evidence(study(THE_PAPERS), parameters=PARAMETERS)))
    supported = ["pilot-B", "pilot-C4", "pilot-D", "pilot-E", "pilot-G", "pilot-all", "pilot-clusters", "mask-C1",
                 "mask-C2", "mask-C3", "full-B", "full-D", "flip-B", "flip-E", "lost-B", "lost-D", "lost-E",
                 "baseline-ratio", "tracks-behind"]
    assert (found[supported] == SUPPORTED).all(), found[supported]
    assert found["mask-order"] == CONTRADICTED, "its own numbers are not monotonic in the region"
    assert found["pilot-F"] == CONTRADICTED, "−3.0 % is not within ±1.3 %"
    assert found["power"] in (SUPPORTED, UNDECIDED) and found["size-model"] == CONTRADICTED
    assert (found[["size-depth", "size-tracks", "size-centroid"]] == SUPPORTED).all()


def test_a_study_without_effects_supports_no_effect_and_no_flip():
    nothing = dict.fromkeys(THE_PAPERS, 0.0)
    found = verdict_of(judged(Evidence(study(nothing, ratio=1.0))))
    effects = [c.id for c in CLAIMS if c.rule in ("improves", "flips") and not c.id.startswith("patch")]
    assert (found[effects] == CONTRADICTED).all() and found["baseline-ratio"] == CONTRADICTED
    assert (found[["full-B", "full-D", "full-E", "full-all", "pilot-F"]] == SUPPORTED).all()
    noisy = verdict_of(judged(Evidence(study(nothing, noise=20.0, seed=1))))
    assert (noisy[["full-B", "pilot-E", "flip-B", "lost-D"]] == UNDECIDED).all()


def test_what_was_not_run_is_not_testable_with_its_reason():
    partial = {k: v for k, v in THE_PAPERS.items() if k[0] in ("B", "D") and k[1] == "pilot"}
    skipped = pd.DataFrame([("E", "pilot", "no depth")], columns=["condition", "scale", "reason"])
    table = judged(Evidence(study(partial), skipped)).set_index("id")
    for id, words in (("pilot-E", "E was skipped: no depth"), ("pilot-G", "G was not run at scale pilot"),
                      ("full-B", "B was not run at scale full"), ("CLS-depth", "nothing was measured of: probes"),
                      ("conflict", "gradients"), ("only-scale", "facts"), ("unseen", "leak"), ("scale-B", "sizes"),
                      ("patch-head-full", "patches"), ("retrieval", "by eye"), ("size-model", "parameters")):
        assert table.verdict[id] == UNTESTABLE and words in table.reason[id], id
    assert table.verdict["pilot-B"] == SUPPORTED and table.n["pilot-B"] == 4
    assert table.reason["pilot-all"].count("was not run") >= 1
    with pytest.raises(InputError, match="not finite"):
        judged(Evidence(study(partial).assign(value=np.nan)))


def by_seed(**columns):
    return pd.concat([pd.DataFrame(columns).assign(seed=s) for s in range(3)], ignore_index=True)


def jitter(table, column, size=0.01):
    return table.assign(**{column: table[column] + size * np.random.default_rng(0).normal(size=len(table))})


def test_the_other_tables_are_judged():
    probes = jitter(by_seed(target=["depth", "depth", "tracks", "tracks"], tokens=["CLS", "patch"] * 2, probe="linear",
                            r2=[0.7, 0.8, 0.1, 0.6]), "r2")
    capacity = jitter(by_seed(series=["CLS", "CLS", "patch", "patch"], points=[1, 400] * 2, probe="mlp",
                              error=[5.0, 9.0, 5.0, 5.5]), "error")
    leak = pd.DataFrame({"condition": "A", "scale": "full", "n": 3, "measure": "seen_window", "mean": [98.0],
                         "low": 97.0, "high": 99.0, "p": 0.0})
    gradients = jitter(by_seed(scale="full", head="depth", step=[1, 2], cosine=[-0.3, -0.2]), "cosine")
    facts = pd.DataFrame([("pilot", "optimizer steps", 340.0), ("full", "optimizer steps", 3000.0),
                          ("pilot", "frames an episode", 26.0), ("full", "frames an episode", 26.5)],
                         columns=["scale", "fact", "value"])
    on_object = pd.DataFrame({"layout": ["uniform", "foreground"] * 4, "episode": np.repeat(range(4), 2),
                              "count": [5, 47, 4, 44, 6, 50, 5, 46]})
    instability = pd.DataFrame([(c, e, v + 0.001 * e * (c == "B")) for e in range(5) for c, v in
                                (("B", 0.01), ("C3", 0.02), ("C2", 0.03), ("C1", 0.05))],
                               columns=["condition", "episode", "value"])
    results = study(THE_PAPERS | {("D-fg", "full"): 0.5})
    patches = study({("D", s): -3.0 for s in ("pilot", "full")} | {("D-patch", s): -9.0 for s in ("pilot", "full")})
    of_pp = study({("D-pp", "pilot"): -5.0, ("D-pp", "full"): 5.0}).replace({"condition": {"A": "A-pp"}})
    of_pp = of_pp.assign(value=0.9 * of_pp.value)
    sized = pd.concat([results, study({("B", "pilot"): -4.0}, seed=3).query("scale == 'pilot'").assign(scale="n25")])
    table = judged(Evidence(
        sized, sizes={"pilot": 13, "n25": 25, "full": 100},
        patches=Evidence(pd.concat([patches, of_pp]), baselines=PATCH_AWARE), facts=facts, probes=probes,
        capacity=capacity, leak=leak, gradients=gradients, on_object=on_object, instability=instability))
    found = verdict_of(table)
    for id in ("CLS-depth", "CLS-tracks", "CLS-dense", "CLS-capacity", "conflict", "on-object", "mask-unstable",
               "patch-head-full", "patch-gain-pilot", "patch-predictor-pilot", "foreground", "scale-B"):
        assert found[id] == SUPPORTED, id
    assert found["patch-predictor-full"] == CONTRADICTED, "against A-pp it is 5 % worse"
    same = patches[patches.condition == "A"].assign(condition="A-pp")
    same = pd.concat([patches, of_pp[of_pp.condition != "A-pp"], same])
    idle = judged(Evidence(results, patches=Evidence(same, baselines=PATCH_AWARE)))
    idle = idle.set_index("id").loc["patch-predictor-full"]
    assert idle.verdict == UNTESTABLE and "A-pp differs from A by at most 0 %" in idle.reason
    assert found["unseen"] == CONTRADICTED and found["only-scale"] == CONTRADICTED
    only = table.set_index("id").ours["only-scale"]
    assert "optimizer steps 340 → 3000" in only and "frames" not in only
    assert found["scale-D"] == UNTESTABLE, "D has no run at 25 episodes"
    opposite = judged(Evidence(
        results, probes=probes.assign(tokens=probes.tokens.map({"CLS": "patch", "patch": "CLS"})),
        gradients=gradients.assign(cosine=-gradients.cosine), facts=facts[2:], leak=leak.assign(mean=0.0, low=0.0),
        instability=instability.assign(value=-instability.value)))
    found = verdict_of(opposite)
    assert (found[["CLS-tracks", "conflict", "mask-unstable"]] == CONTRADICTED).all()
    assert (found[["only-scale", "unseen"]] == SUPPORTED).all()


def test_survival_finds_a_planted_dependence_on_the_metric():
    """B lowers MSE by shrinking its latents: over their variance nothing is left."""
    rows = study({("B", "pilot"): -10.0})
    variance = rows.assign(metric="mse_over_variance", value=rows.value.where(rows.condition == "A", rows.value / 0.9))
    out = survival(Evidence(pd.concat([rows, variance])), ["mse", "mse_over_variance"])
    found = out[out.id == "pilot-B"].set_index(["metric", "split"]).verdict
    assert (found["mse"] == SUPPORTED).all() and (found["mse_over_variance"] == CONTRADICTED).all()
    assert set(out.id) == {c.id for c in CLAIMS if c.by_metric} and len(out) == 4 * out.id.nunique()
    torn, kept = claims_report.describe_survival(out, judged(Evidence(pd.concat([rows, variance]))))
    assert "Supported under one metric or split and contradicted under another: 1 (pilot-B)." in torn
    assert kept.startswith("Supported by MSE on held-out episodes: 2. Of these, ") and "splits: 1 (" in kept, kept
    assert claims_report.describe_survival(survival(Evidence(rows), ["yardstick"]), out)[0].startswith("Not run")


def test_the_table_says_where_it_comes_from_and_shows_every_claim():
    about = {"data": "tabletop", "profile": "quick"}
    table = claims_table(Evidence(study(THE_PAPERS)), about)
    assert (table.data == "simulated data (tabletop)").all() and (table.profile == "quick").all()
    real = claims_table(Evidence(study(THE_PAPERS)), {"data": "bridge", "profile": "paper"})
    assert "simulated" in heading(table) and "simulated" not in heading(real)
    text = markdown(table)
    assert text.startswith("**The paper's claims on simulated data (tabletop), profile quick.**")
    assert text.count("\n| ") == len(CLAIMS) + 1 and set(table.verdict) <= set(VERDICTS)
    assert set(table.rule) <= set(RULES.values()) and {c.rule for c in CLAIMS} == set(RULES)
    assert table.id.is_unique and table.section.ne("").all()
    assert table[table.verdict.isin([UNTESTABLE])].reason.ne("").all()


def test_every_number_of_the_paper_stands_beside_a_claim():
    told = {(c.id, c.paper) for c in CLAIMS}
    for c, value in paper.reported(1).items():
        assert any(i == f"pilot-{c}" and verdicts.number(value) in p for i, p in told)
    for c, value in paper.reported(3, "full").items():
        assert any(i == f"full-{c}" and verdicts.number(value) in p for i, p in told)
    assert claims.PRIMARY == ("mse", "episode")


def test_the_files_hold_the_table_and_the_readme_shows_what_was_decided(tmp_path):
    table = claims_table(Evidence(study(THE_PAPERS)), {"data": "tabletop", "profile": "quick"})
    claims_report.save(table, tmp_path)
    assert (tmp_path / "claims.md").read_text().startswith("# The paper's claims on simulated data (tabletop)")
    again = claims_report.read(tmp_path / "claims.csv")
    assert markdown(again) == markdown(table), "the CSV holds all that is shown"
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{claims_report.BEGIN}\nold\n{claims_report.END}\nafter\n")
    text = claims_report.update_readme(readme, tmp_path)
    assert text == readme.read_text() == f"before\n{claims_report.summary(table)}\nafter\n"
    decided = table.verdict.isin([SUPPORTED, CONTRADICTED])
    assert text.count("\n| ") == decided.sum() + 1 and f"The other {(~decided).sum()} " in text
    readme.write_text(text + claims_report.BEGIN)
    with pytest.raises(InputError, match="no single block"):
        claims_report.update_readme(readme, tmp_path)


def test_the_readme_shows_the_committed_claims():
    table = claims_report.read(claims_report.FIGURES / "claims.csv")
    assert claims_report.summary(table) in claims_report.README.read_text(), "only ./run_all.sh publish changes both"
