"""Paired changes, intervals, tests and sentences, against hand-worked and brute-force answers."""

import functools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lewm_core.conditions import CONDITIONS
from lewm_core.stats import paired, paper
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT

COLUMNS = ["condition", "scale", "seed", "split", "metric", "value"]


def results(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def table(values, scale="pilot", split="episode", metric="mse"):
    """{condition: [value at seed 0, 1, …]} as a tidy table."""
    return results(*((c, scale, s, split, metric, v) for c, vs in values.items() for s, v in enumerate(vs)))


def changes_of(values, **kwargs):
    return paired.paired_change(table(values, **kwargs))


def test_paired_change_by_hand():
    out = changes_of({"B": [0.9, 1.0], "A": [1.0, 2.0], "C1": [1.5, 2.0]})
    assert list(out.columns) == ["condition", "scale", "split", "metric", "seed", "change"]
    assert out[out.condition == "B"].change.tolist() == pytest.approx([-10, -50])
    assert out[out.condition == "C1"].change.tolist() == pytest.approx([50, 0])
    assert "A" not in set(out.condition)


def test_pairs_by_seed_and_not_by_row_order():
    rows = table({"A": [1.0, 2.0, 4.0], "B": [1.1, 2.0, 2.0]})
    expected = {0: 10, 1: 0, 2: -50}
    rng = np.random.default_rng(0)
    for _ in range(20):
        out = paired.paired_change(rows.iloc[rng.permutation(6)])
        assert dict(zip(out.seed, out.change, strict=True)) == pytest.approx(expected)


def test_scales_splits_and_metrics_are_kept_apart():
    rows = pd.concat([table({"A": [1.0], "B": [2.0]}), table({"A": [4.0], "B": [3.0]}, scale="full"),
                      table({"A": [10.0], "B": [1.0]}, split="window"),
                      table({"A": [7.0], "B": [7.0]}, metric="sigreg")])
    both = paired.paired_change(rows, split=["episode", "window"])
    found = {(r.scale, r.split): r.change for r in both.itertuples()}
    assert found == pytest.approx({("pilot", "episode"): 100, ("full", "episode"): -25, ("pilot", "window"): -90})
    assert paired.paired_change(rows, metric="sigreg").change.tolist() == [0]


def test_another_baseline():
    out = paired.paired_change(table({"A": [1.0], "B": [2.0]}), baseline="B")
    assert out[["condition", "change"]].values.tolist() == [["A", -50]]


def test_only_the_baseline_gives_an_empty_table_that_summarises():
    out = changes_of({"A": [1.0, 2.0]})
    assert out.empty and "change" in out
    assert paired.summarise(out).empty


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table({"B": [1.0]}), ["baseline 'A'", "B"]),
        (results(("A", "pilot", 0, "episode", "mse", 1.0), ("B", "pilot", 0, "episode", "mse", 1.0),
                 ("B", "pilot", 3, "episode", "mse", 1.0)), ["B seed 3", "without a run of A"]),
        (table({"A": [1.0, np.nan], "B": [1.0, 1.0]}), ["A seed 1", "not finite"]),
        (table({"A": [1.0, 1.0], "B": [1.0, np.inf]}), ["B seed 1", "not finite"]),
        (pd.concat([table({"A": [1.0], "B": [1.0]}), table({"B": [1.0]})]), ["B seed 0", "more than once"]),
        (table({"A": [0.0], "B": [1.0]}), ["positive"]),
        (table({"A": [1.0], "B": [1.0]}, metric="sigreg"), ["mse", "sigreg"]),
        (results(), ["no row"]),
    ],
)
def test_bad_tables_are_named(rows, words):
    with pytest.raises(InputError) as error:
        paired.paired_change(rows)
    for word in words:
        assert word in str(error.value)


def test_a_baseline_of_another_scale_does_not_help():
    rows = pd.concat([table({"A": [1.0], "B": [1.0]}), table({"B": [1.0]}, scale="full")])
    with pytest.raises(InputError, match="full"):
        paired.paired_change(rows)


def test_a_condition_may_have_fewer_seeds():
    changes = changes_of({"A": [1.0, 2.0, 4.0], "B": [1.1, 2.2, 4.4], "D": [2.0]})
    summary = paired.summarise(changes).set_index("condition")
    assert summary.n.to_dict() == {"B": 3, "D": 1}


STUDIES = 500


def within_noise(rate: float, nominal: float) -> bool:
    """Whether a rate over STUDIES is as near to the nominal one as chance allows (99.9 %)."""
    return abs(rate - nominal) < 3.3 * np.sqrt(nominal * (1 - nominal) / STUDIES)


@functools.cache
def studies(n: int) -> np.ndarray:
    """(STUDIES, n) changes in per cent of synthetic studies, paired by seed, whose mean is −3.

    Seeds differ far more from one another than conditions do at the same seed, as in ours.
    """
    rng = np.random.default_rng(n)
    base = np.exp(rng.normal(0, 0.3, (STUDIES, n)))
    value = base * 0.97 * np.exp(rng.normal(0, 0.04, (STUDIES, n)) - 0.04**2 / 2)
    first = changes_of({"A": base[0], "B": value[0]}).change
    changes = 100 * (value / base - 1)
    assert changes[0] == pytest.approx(first.to_numpy())
    return changes


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_holds_a_known_effect_as_often_as_it_says_and_the_bootstrap_does_not(n):
    held = boot = 0
    rng = np.random.default_rng(0)
    for values in studies(n):
        low, high = paired.interval(values)
        held += low <= -3 <= high
        means = values[rng.integers(0, n, (400, n))].mean(1)
        boot += np.quantile(means, 0.025) <= -3 <= np.quantile(means, 0.975)
    assert within_noise(held / STUDIES, 0.95)
    assert boot < held and (n == 10 or not within_noise(boot / STUDIES, 0.95))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_t_test_is_wrong_as_often_as_it_says_where_there_is_no_effect(n):
    nothing = 100 * ((1 + studies(n) / 100) / 0.97 - 1)  # the same studies without their effect of −3 %
    p = [paired.t_p(values) for values in nothing]
    assert within_noise(np.mean(np.array(p) < 0.05), 0.05)


def test_interval_and_p_by_hand():
    values = np.array([-3.0, 1.0, 2.0])  # mean 0, deviation √7, t(0.975; 2) = 4.3027
    assert paired.interval(values) == pytest.approx((-4.3027 * np.sqrt(7 / 3), 4.3027 * np.sqrt(7 / 3)), rel=1e-4)
    assert paired.t_p(values) == pytest.approx(1)
    for shift in (-6.5, -6.6, 6.5, 6.6):
        low, high = paired.interval(values + shift)
        assert (low <= 0 <= high) == (paired.t_p(values + shift) >= 0.05) == (abs(shift) < 6.55)
    assert paired.interval(np.full(4, 1.5)) == (1.5, 1.5) and paired.t_p(np.full(4, 1.5)) == 0
    assert paired.t_p(np.zeros(4)) == 1
    assert np.isnan(paired.interval(values[:1])).all() and paired.t_p(values[:1]) == 1


def test_holm_by_hand_and_by_family():
    a = np.ones(6)
    values = {"A": a, "B": a * 0.9, "D": a * [0.9, 0.9, 0.9, 0.9, 0.9, 1.01], "G": a * [1.1, 0.9, 1.1, 0.9, 1.1, 0.9]}
    rows = pd.concat([table(values), table({"A": a, "B": a * 0.9}, scale="full")])
    out = paired.summarise(paired.paired_change(rows))
    pilot = out[out.scale == "pilot"].set_index("condition")
    assert pilot.p["B"] == 0 and 0 < pilot.p["D"] < pilot.p["G"] == pytest.approx(1)
    assert pilot.p_holm.to_dict() == pytest.approx({"B": 0, "D": 2 * pilot.p["D"], "G": 1.0})
    assert out[out.scale == "full"].p_holm.tolist() == [0]


def test_each_condition_of_a_summary_stands_alone():
    rng = np.random.default_rng(3)
    values = {c: rng.uniform(0.8, 1.2, 8) for c in ("A", "B", "D", "G")}
    one = paired.summarise(changes_of(values))
    alone = paired.summarise(changes_of({c: values[c] for c in "AG"}))
    pd.testing.assert_frame_equal(one[one.condition == "G"].drop(columns="p_holm").reset_index(drop=True),
                                  alone.drop(columns="p_holm"))
    assert ((one.low <= one["mean"]) & (one["mean"] <= one.high)).all()


def test_conditions_come_in_the_order_of_the_results():
    values = {c: [1.0, 1.0] for c in ("mine", "G", "D-fg", "C2", "A", "D", "B")}
    assert paired.summarise(changes_of(values)).condition.tolist() == ["mine", "G", "D-fg", "C2", "D", "B"]


def sentence(mean, low, high, n=3):
    row = {"condition": "B", "n": n, "mean": mean, "low": low, "high": high, "p": 0.02, "p_holm": 0.2}
    return paired.describe(SimpleNamespace(**row))


def test_sentences_say_what_the_numbers_say():
    assert sentence(-3.1, -5.0, -1.2) == ("B: −3.1 % [−5.0, −1.2], n = 3, p = 0.02 (Holm 0.2); the interval "
                                          "excludes 0")
    assert "includes 0" in sentence(-3.1, -5.0, 0.2) and "excludes 0" in sentence(3.1, 0.1, 5.0)
    assert "neither an interval nor a test" in sentence(-3.1, np.nan, np.nan, n=1)
    assert paired.number(-0.04) == "0.0"


def test_order_of_the_paper_s_mask_sweep_is_not_monotonic():
    sweep = paper.reported(2)
    assert "not monotonic" in paired.describe_order(sweep, ["C1", "C2", "C3", "B"])
    assert "never falling" in paired.describe_order(sweep, ["C1", "C2", "C3"])
    assert "never rising" in paired.describe_order(sweep, ["C3", "C2", "C1"])
    assert "all equal" in paired.describe_order(pd.Series({"B": 1.0, "E": 1.0}), ["B", "E"])
    assert paired.describe_order(sweep, ["C5", "B", "A"]) == "B −10.5 %: too few to order"
    assert paired.describe_order(sweep, ["C5"]) == "none of them: too few to order"


def test_a_split_that_no_run_was_judged_on_has_no_rows():
    """val_episodes=0 holds no episode out."""
    rows = table({"A": [1.0, 2.0], "B": [0.9, 1.9]}, split="window")
    assert paired.paired_change(rows).empty and paired.summarise(paired.paired_change(rows)).empty
    changes, summary = paired.compare(rows)
    assert set(changes.split) == {"window"} and paired.judged(summary).condition.tolist() == ["B"]
    both = pd.concat([rows, table({"A": [1.0], "B": [0.5]})])
    assert set(paired.judged(paired.compare(both)[1]).split) == {"episode"}


def test_how_many_seeds():
    assert [paired.n_label(n) for n in ([], [3, 3], [5, 3, 4])] == ["no run", "n = 3", "n = 3 to 5"]


def test_stats_imports_no_torch():
    code = ("import importlib, pkgutil, sys\nimport lewm_core.stats as room\n"
            "for module in pkgutil.iter_modules(room.__path__):\n"
            "    importlib.import_module(f'lewm_core.stats.{module.name}')\n"
            "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_paper_s_numbers():
    assert paper.reported(1).to_dict() == {"B": -11.5, "C4": -14.5, "D": -4.9, "E": -14.0, "F": -3.0, "G": -6.1}
    assert paper.reported(2).to_dict() == {"B": -10.5, "C1": -7.5, "C2": -5.8, "C3": -2.3, "C4": -10.9}
    assert paper.reported(3, "full").to_dict() == {"B": 1.0, "D": 0.2, "E": 1.3}
    both = paper.REPORTED[paper.REPORTED.figure.isin([1, 3]) & (paper.REPORTED.scale == "pilot")]
    assert (both.groupby("condition").change.nunique() == 1).all()  # Figures 1 and 3 show the same pilot
    assert set(paper.REPORTED.condition) <= set(CONDITIONS)
    assert paper.reported(3, "full").abs().max() == paper.FULL_SCALE_BAND
