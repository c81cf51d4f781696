"""What the claims are judged to be: planted studies, missing runs, shut gates, tables, the README's block."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import claims_report, outcomes, paper, verdicts
from lewm_core.stats.claims import CLAIMS, KINDS, claims_table, survival
from lewm_core.stats.claims_report import heading, markdown
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.primary import PRIMARY_HYPOTHESES
from lewm_core.stats.rules import RULES
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, VERDICTS
from lewm_core.utils.errors import InputError
from tests.stats.planted import NOTHING, THE_PAPERS, Truth, table


def study(effects, n=4, noise=0.1, level=4.0, seed=0, **truth):
    """A results table with planted changes {(condition, scale): per cent}; the baseline's error falls by `level`."""
    truth = Truth(effects, noise=noise, **truth)
    return table(truth, n, np.random.default_rng(seed), ("gripper_5", "mse"), ("episode", "window"), level)


def judged(evidence):
    """All but the gates, whose names repeat."""
    found = claims_table(evidence, {})
    return found[found.kind != "gate"]


PARAMETERS = {"model": 18_034_448, "depth": 400_434, "tracks": 135_848, "centroid": 37_379}
PATCH_AWARE = {"A-pp": "A-pp", "D-pp": "A-pp"}  # compared with A-pp instead of A


def verdict_of(table):
    return table.set_index("id").verdict


def test_a_study_with_the_papers_effects_supports_what_it_shows_and_contradicts_what_it_does_not():
    found = verdict_of(judged(Evidence(study(THE_PAPERS), parameters=PARAMETERS)))
    supported = ["pilot-B", "pilot-C4", "pilot-D", "pilot-E", "pilot-G", "pilot-F", "pilot-all", "pilot-clusters",
                 "pilot-E-B", "mask-C1", "mask-C2", "mask-C3", "full-B", "full-D", "full-E", "full-all",
                 "full-at-or-above", "lost-B", "lost-D", "lost-E", "baseline-ratio", "tracks-behind"]
    assert (found[supported] == SUPPORTED).all(), found[supported]
    assert found["mask-order"] == CONTRADICTED, "its own numbers are not monotonic in the region"
    assert found["power"] in (SUPPORTED, UNDECIDED) and found["size-model"] == CONTRADICTED
    assert (found[["size-depth", "size-tracks", "size-centroid"]] == SUPPORTED).all()


HELPS = [c.id for c in CLAIMS if c.rule == "helps"]


def test_a_study_that_could_see_them_contradicts_effects_that_are_not_there():
    found = verdict_of(judged(Evidence(study(NOTHING, level=1.0))))
    assert (found[[*HELPS, "lost-B", "baseline-ratio"]] == CONTRADICTED).all()
    assert (found[["full-B", "full-D", "full-E", "full-all", "full-at-or-above", "pilot-F"]] == SUPPORTED).all()
    noisy = verdict_of(judged(Evidence(study(NOTHING, noise=20.0, seed=1, positive=90, learnt=90, persistence=0.3))))
    assert (noisy[["full-B", "pilot-E", "lost-D"]] == UNDECIDED).all()


def test_a_study_that_sees_nothing_tests_nothing():
    """The gates are shut: whatever the numbers are, they decide no claim that rests on an effect."""
    effects = [c.id for c in CLAIMS if c.by_metric]
    for results in (study(NOTHING, positive=0.0), study(THE_PAPERS, head=1.2), study(THE_PAPERS, persistence=1.1),
                    study(THE_PAPERS, sensitivity=0.02)):
        found = judged(Evidence(results)).set_index("id")
        assert (found.verdict[effects] == UNTESTED).all() and (found.mse_verdict[effects] == UNTESTED).all()
        assert found.ours["pilot-B"] != "–", "the number stands all the same"
        assert "gates of B shut at scale pilot: " in found.reason["pilot-B"]


def test_a_head_that_knows_nothing_is_no_benefit_of_its_signal():
    """The twin with other frames' targets does as well, as a depth head fed with them did."""
    found = judged(Evidence(study(THE_PAPERS, shuffled=-11.5))).set_index("id")
    assert found.verdict["pilot-B"] == CONTRADICTED and "; against B-shuf " in found.ours["pilot-B"]
    results = study(THE_PAPERS)
    alone = judged(Evidence(results[results.condition != "B-shuf"])).set_index("id")
    assert alone.verdict["pilot-B"] == UNTESTED and alone.reason["pilot-B"] == "B-shuf was not run at scale pilot"
    assert alone.verdict["full-B"] == SUPPORTED, "an absence needs no twin"


def test_an_old_table_is_judged_as_not_tested():
    """Without the columns of the new outcome and the reference rows."""
    results = study(THE_PAPERS)
    old = results[results.metric.isin(["mse", "mse_over_static", "head_depth", "head_tracks"])]
    old = old[~old.condition.str.contains("-shuf") & ~old.condition.isin(["base", "lr-0", "P"])]
    found = judged(Evidence(old)).set_index("id")
    effects = [c.id for c in CLAIMS if c.by_metric]
    assert (found.verdict[effects] == UNTESTED).all() and (found.mse_verdict[effects] == UNTESTED).all()
    assert "no gripper_5" in found.reason["pilot-B"] and found.mse_ours["pilot-B"].startswith("−11.")
    assert found.verdict["baseline-ratio"] == SUPPORTED


def test_what_was_not_run_is_not_tested_with_its_reason():
    partial = {k: v for k, v in THE_PAPERS.items() if k[0] in ("B", "D") and k[1] == "pilot"}
    skipped = pd.DataFrame([("E", "pilot", "no depth")], columns=["condition", "scale", "reason"])
    found = judged(Evidence(study(partial), skipped)).set_index("id")
    for id, words in (("pilot-E", "E was skipped: no depth"), ("pilot-G", "G was not run at scale pilot"),
                      ("full-B", "B was not run at scale full"), ("CLS-depth", "no probes of the tokens here; note"),
                      ("conflict", "gradients"), ("only-scale", "sizes of the two scales"), ("unseen", "leak"),
                      ("scale-B", "only the number of episodes differs"), ("learnt", "A has no probe_depth"),
                      ("mask-coverage", "coverage"),
                      ("patch-head-full", "--study controls"), ("retrieval", "by eye"), ("size-model", "parameters")):
        assert found.verdict[id] == UNTESTED and words in found.reason[id], id
    assert found.verdict["pilot-B"] == SUPPORTED and found.n["pilot-B"] == 4
    assert found.reason["pilot-all"].count("was not run") >= 1
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
    gradients = jitter(by_seed(condition="B", head="depth", scale=["pilot", "pilot", "full", "full"], step=[1, 2] * 2,
                               cosine=[0.1, 0.1, -0.3, -0.2], ratio=[0.4, 0.4, 0.1, 0.1]), "cosine")
    facts = pd.DataFrame([("pilot", "optimizer steps", 340.0), ("full", "optimizer steps", 3000.0),
                          ("pilot", "frames an episode", 26.0), ("full", "frames an episode", 26.5)],
                         columns=["scale", "fact", "value"])
    on_object = pd.DataFrame({"layout": ["uniform", "foreground"] * 4, "episode": np.repeat(range(4), 2),
                              "count": [5, 47, 4, 44, 6, 50, 5, 46]})
    instability = pd.DataFrame([(c, e, v + 0.001 * e * (c == "B")) for e in range(5) for c, v in
                                (("B", 0.01), ("C3", 0.02), ("C2", 0.03), ("C1", 0.05))],
                               columns=["condition", "episode", "value"])
    results = study(THE_PAPERS | {("D-fg", "full"): 0.5})
    patches = study({("D", s): -5.0 for s in ("pilot", "full")} | {("D-patch", s): -12.0 for s in ("pilot", "full")})
    of_pp = study({("D-pp", "pilot"): -9.0, ("D-pp", "full"): 5.0})
    of_pp = of_pp[of_pp.condition.isin(["A", "D-pp", "D-pp-shuf"])].replace({"condition": {"A": "A-pp"}})
    of_pp = of_pp.assign(value=of_pp.value.where(of_pp.metric.str.startswith("head"), 0.9 * of_pp.value))
    sized = pd.concat([results, study({("B", "pilot"): -4.0}, seed=3).query("scale == 'pilot'").assign(scale="n25")])
    table = judged(Evidence(
        sized, sizes={"pilot": 13, "n25": 25, "full": 100},
        patches=Evidence(pd.concat([patches, of_pp]), baselines=PATCH_AWARE), facts=facts, probes=probes,
        capacity=capacity, leak=leak, gradients=gradients, on_object=on_object, instability=instability,
        coverage=pd.DataFrame({"scale": ["pilot", "full"], "value": [0.1, 0.03]})))
    found = verdict_of(table)
    for id in ("CLS-depth", "CLS-tracks", "CLS-dense", "CLS-capacity", "conflict", "on-object", "mask-unstable",
               "patch-head-full", "patch-gain-pilot", "patch-predictor-pilot", "foreground", "scale-B", "redundant",
               "mask-coverage"):
        assert found[id] == SUPPORTED, id
    assert found["patch-predictor-full"] == CONTRADICTED, "against A-pp it is 5 % worse"
    same = patches[patches.condition == "A"].assign(condition="A-pp")
    same = pd.concat([patches, of_pp[of_pp.condition != "A-pp"], same])
    idle = judged(Evidence(results, patches=Evidence(same, baselines=PATCH_AWARE)))
    idle = idle.set_index("id").loc["patch-predictor-full"]
    assert idle.verdict == UNTESTED and "A-pp differs from A by at most 0 %" in idle.reason
    assert found["unseen"] == CONTRADICTED and found["only-scale"] == CONTRADICTED
    only = table.set_index("id").ours["only-scale"]
    assert "optimizer steps 340 → 3000" in only and "frames" not in only
    assert found["scale-D"] == UNTESTED, "D has no run at 25 episodes"
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
    variance = rows[rows.metric == "mse"].assign(metric="mse_over_variance")
    b = (variance.condition == "B") & (variance.scale == "pilot")
    variance = variance.assign(value=variance.value.where(~b, variance.value / 0.9))
    out = survival(Evidence(pd.concat([rows, variance])), ["mse", "mse_over_variance"])
    found = out[out.id == "pilot-B"].set_index(["metric", "split"]).verdict
    assert (found["mse"] == SUPPORTED).all() and (found["mse_over_variance"] == CONTRADICTED).all()
    assert set(out.id) == {c.id for c in CLAIMS if c.by_metric} and len(out) == 4 * out.id.nunique()
    torn, kept = claims_report.describe_survival(out, judged(Evidence(pd.concat([rows, variance]))))
    assert "Supported under one metric or split and contradicted under another: 1 (pilot-B)." in torn
    assert kept.startswith("Supported by gripper_5 on held-out episodes: 1. Of these, ") and "splits: 0." in kept, kept
    assert claims_report.describe_survival(survival(Evidence(rows), ["yardstick"]), out)[0].startswith("Not run")


def test_the_table_says_where_it_comes_from_and_shows_every_claim():
    about = {"data": "tabletop", "profile": "quick"}
    table = claims_table(Evidence(study(THE_PAPERS)), about)
    assert (table.data == "simulated data (tabletop)").all() and (table.profile == "quick").all()
    real = claims_table(Evidence(study(THE_PAPERS)), {"data": "bridge", "profile": "paper"})
    assert "simulated" in heading(table) and "simulated" not in heading(real)
    text = markdown(table)
    assert text.startswith("**The paper's claims on simulated data (tabletop), profile quick.**")
    listed = [claim for kind in KINDS.values() for claim in kind]
    assert text.count("\n| ") == len(listed) + len(KINDS)
    kinds = table.kind.value_counts()
    assert kinds.sum() - kinds["gate"] - kinds["primary"] == len(listed) and kinds["primary"] == len(PRIMARY_HYPOTHESES)
    assert {c.rule for c in listed} | {"primary"} == set(RULES)
    table = table[table.kind != "gate"]
    assert set(table.verdict) <= set(VERDICTS)
    told = sum(int(count.split()[0]) for count in claims_report.counts(table).split(", "))
    assert told == len(CLAIMS) < len(listed), "facts and suggestions are not counted among the claims"
    assert table.id.is_unique and table.section[table.kind != "primary"].ne("").all()
    assert table[table.verdict.isin([UNTESTED])].reason.ne("").all()


def test_the_gates_and_the_primary_hypotheses_stand_first():
    seen = "\n".join(claims_report.first(claims_table(Evidence(study(THE_PAPERS)), {})))
    assert "- pilot: effects of B, C4, D, E, F, G, C1, C2, C3 can be judged." in seen and "machinery only" not in seen
    assert "| H3 |" in seen and "Holm's p" in seen and "| full | A beats persistence | open |" in seen
    blind = study(THE_PAPERS, positive=0.0)
    blind = blind[(blind.condition != "P") | (blind.scale == "full")]
    told = "\n".join(claims_report.first(claims_table(Evidence(blind), {})))
    assert told.count("machinery only") == 2 and "P against A: P was not run (pilot, episode split)" in told
    half = study(THE_PAPERS)
    half = half[(half.condition != "B") | ~half.metric.str.startswith("head")]
    told = "\n".join(claims_report.gates_told(claims_table(Evidence(half), {})))
    assert "| open for C4, D, E, F, G, C1, C2, C3 |" in told and "B: no head's loss was measured" in told
    alone = claims_table(Evidence(half[half.condition == "A"]), {})
    assert claims_report.gates_told(alone)[0].startswith("No condition")


def test_every_number_of_the_paper_stands_beside_a_claim():
    told = {(c.id, c.paper) for c in CLAIMS}
    for c, value in paper.reported(1).items():
        assert any(i == f"pilot-{c}" and verdicts.number(value) in p for i, p in told)
    for c, value in paper.reported(3, "full").items():
        assert any(i == f"full-{c}" and verdicts.number(value) in p for i, p in told)
    assert (outcomes.OUTCOME, outcomes.PAPERS, outcomes.SPLIT) == ("gripper_5", "mse", "episode")


def test_the_files_hold_the_table(tmp_path):
    table = claims_table(Evidence(study(THE_PAPERS)), {"data": "tabletop", "profile": "quick"})
    claims_report.save(table, tmp_path)
    assert (tmp_path / "claims.md").read_text().startswith("# The paper's claims on simulated data (tabletop)")
    again = claims_report.read(tmp_path / "claims.csv")
    assert markdown(again) == markdown(table), "the CSV holds all that is shown"
    first = "\n".join(claims_report.first(table))
    assert first in (tmp_path / "claims.md").read_text()
