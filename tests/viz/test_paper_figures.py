"""Figures 1–3 draw the numbers of their tables, all of them, in the fixed order, and say what is not there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lewm_core.conditions import CONDITIONS, Condition
from lewm_core.stats import paired, paper
from lewm_core.utils.errors import InputError
from lewm_core.viz import level_panels, paper_figures, style
from tests.viz.drawn import artists, texts, ticks

NONE = pd.DataFrame(columns=["condition", "scale", "reason"])  # skipped
REASON = "Depth needs a backend with weights; none was given."


@pytest.fixture(scope="module")
def study():
    """Results of nine conditions at pilot, four at full scale, three seeds, both splits; C4 skipped."""
    rng = np.random.default_rng(0)
    rows = [(c, scale, s, split, "mse", 1 + 0.1 * rng.normal())
            for scale, names in (("full", ["E", "A", "D", "B"]), ("pilot", [c for c in CONDITIONS if c != "C4"][::-1]))
            for s in range(3) for split in ("window", "episode") for c in names]
    results = pd.DataFrame(rows, columns=style.COLUMNS)
    changes = paired.paired_change(results, split=["episode", "window"])
    summary = paired.summarise(changes)
    skipped = pd.DataFrame([("C4", "pilot", REASON)], columns=["condition", "scale", "reason"])
    return SimpleNamespace(results=results, changes=changes, summary=summary, skipped=skipped)


def made(make, *tables):
    """A figure of the study."""
    return make(*tables, ["B", "D", "E"]) if make is paper_figures.figure3 else make(*tables)


@pytest.mark.parametrize("make", [paper_figures.figure1, paper_figures.figure2, paper_figures.figure3])
def test_every_number_of_the_table_is_drawn_where_it_says(study, make):
    fig = made(make, study.changes, study.summary, study.skipped)
    found = artists(fig)
    shown = {paper_figures.figure1: list(CONDITIONS), paper_figures.figure2: ["B", "C1", "C2", "C3"],
             paper_figures.figure3: ["B", "D", "E"]}[make]
    scales = ["pilot", "full"] if make is paper_figures.figure3 else ["pilot"]
    summary = study.summary[study.summary.condition.isin(shown) & study.summary.scale.isin(scales)]
    assert len(summary) >= 8
    for _, row in summary.iterrows():
        key = f"{row.condition}/{row.scale}/{row.split}"
        assert found[key + "/mean"].get_ydata() == pytest.approx([row["mean"]])
        assert found[key + "/interval"].get_ydata() == pytest.approx([row.low, row.high])
        seeds = study.changes.query("condition == @row.condition and scale == @row.scale and split == @row.split")
        assert found[key + "/seeds"].get_offsets()[:, 1].tolist() == pytest.approx(
            seeds.sort_values("seed").change.tolist())
    drawn = {k for k in found if k.endswith("/mean")}
    assert len(drawn) == len(summary)


@pytest.mark.parametrize(("make", "number"), [(paper_figures.figure1, 1), (paper_figures.figure2, 2),
                                              (paper_figures.figure3, 3)])
def test_the_paper_s_values_are_drawn(study, make, number):
    found = artists(made(make, study.changes, study.summary, study.skipped))
    for row in paper.REPORTED[paper.REPORTED.figure == number].itertuples():
        assert found[f"{row.condition}/{row.scale}/paper"].get_ydata() == [row.change]


def test_conditions_stand_in_their_order_whatever_the_table_s(study):
    shuffled = study.changes.sample(frac=1, random_state=0), study.summary.sample(frac=1, random_state=1)
    fig = paper_figures.figure1(*shuffled, study.skipped)
    assert ticks(fig.axes[0]) == ["B", "C1", "C2", "C3", "C4", "D", "D-fg", "E", "F", "G"]
    x = [artists(fig)[f"{c}/pilot/episode/mean"].get_xdata()[0] for c in ("B", "C1", "D", "D-fg", "E", "F", "G")]
    assert x == sorted(x)
    assert ticks(paper_figures.figure2(*shuffled, NONE).axes[0]) == ["B", "C1", "C2", "C3", "C4"]


def test_skipped_conditions_are_there_with_their_reason_and_others_as_not_run(study):
    fig = paper_figures.figure1(study.changes, study.summary, study.skipped)
    assert "not run: " + REASON.rstrip(".") in texts(fig)
    assert "C4/pilot/episode/mean" not in artists(fig)
    label = fig.axes[0].get_xticklabels()[4]
    assert label.get_text().startswith("C4") and label.get_color() == style.GREY
    others = paper_figures.figure1(study.changes, study.summary, NONE)
    assert "not among the conditions chosen: C4 (paper −14.5 %)" in texts(others)
    assert "C4" not in ticks(others.axes[0])


def test_all_skipped_but_the_baseline_still_makes_a_figure(study):
    empty = study.changes.iloc[:0], study.summary.iloc[:0]
    skipped = pd.DataFrame([(c, s, REASON) for c in CONDITIONS for s in ("pilot", "full")],
                           columns=study.skipped.columns)
    for make in (paper_figures.figure1, paper_figures.figure2, paper_figures.figure3):
        assert "not run: Depth" in texts(made(make, *empty, skipped))


def test_one_seed_is_drawn_without_an_interval(study):
    changes = study.changes[study.changes.seed == 0]
    summary = paired.summarise(changes)
    found = artists(paper_figures.figure1(changes, summary, study.skipped))
    assert "B/pilot/episode/mean" in found and "B/pilot/episode/interval" not in found


def test_the_window_split_is_hollow(study):
    found = artists(paper_figures.figure1(study.changes, study.summary, study.skipped))
    assert found["B/pilot/episode/mean"].get_markerfacecolor() == style.colour("B")
    assert found["B/pilot/window/mean"].get_markerfacecolor() == "white"


def test_two_metrics_in_one_figure_are_refused(study):
    both = pd.concat([study.summary, study.summary.assign(metric="sigreg")])
    with pytest.raises(InputError, match="mse, sigreg"):
        paper_figures.figure1(study.changes, both, NONE)
    ratio = study.changes.assign(metric="mse_over_variance"), study.summary.assign(metric="mse_over_variance")
    assert "MSE over target variance" in texts(paper_figures.figure1(*ratio, NONE))


def test_benefit_against_area(study):
    areas = {"C1": 0.03, "C2": 0.06, "C3": 0.15, "B": 1.0}
    found = artists(paper_figures.benefit_against_area(study.summary, areas))
    for c, area in areas.items():
        (row,) = study.summary.query("condition == @c and scale == 'pilot' and split == 'episode'").itertuples()
        mean = found[f"{c}/pilot/episode/mean"]
        assert (mean.get_xdata()[0], mean.get_ydata()[0]) == pytest.approx((area, row.mean))


def test_scale_bars_state_the_ratio(study):
    rows = study.results[study.results.condition == "A"].copy()
    rows.loc[rows.scale == "full", "value"] = 0.5
    rows.loc[rows.scale == "pilot", "value"] = 1.25
    fig = level_panels.scale_bars(rows)
    assert texts(fig).count("pilot / full = 2.5") == 2
    assert artists(fig)["pilot/episode/mean"].get_height() == 1.25


def test_study_table_holds_every_number(study):
    table = paper_figures.study_table(study.changes, study.summary, 2, study.skipped, {"B": 1.0})
    assert list(table.columns[:6]) == style.COLUMNS
    count = table.statistic.value_counts()
    assert count["seed"] == len(study.changes) and count["paper"] == 5 and count["area"] == count["skipped"] == 1
    assert all(count[k] == len(study.summary) for k in ("n", "mean", "low", "high", "p", "p_holm"))
    row = study.summary.iloc[3]
    (value,) = table.query("condition == @row.condition and scale == @row.scale and split == @row.split "
                           "and statistic == 'low'").value
    assert value == row.low
    assert table[table.statistic == "skipped"].note.item() == REASON


CHOICES = {"A": ["A"], "A and D": ["A", "D"], "masks and one's own": ["A", "B", "C3", "mine"], "all": [*CONDITIONS]}


@pytest.mark.parametrize("splits", [["window"], ["episode", "window"]])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("choice", CHOICES)
def test_any_choice_is_drawn_and_the_rest_is_said_not_to_be_run(choice, seeds, splits):
    """Conditions, seeds and splits (no episode is held out) as a reader may choose them."""
    names = CHOICES[choice]
    rng = np.random.default_rng(0)
    rows = [(c, scale, s, split, "mse", 1 + 0.1 * rng.normal()) for c in names for scale in ("pilot", "full")
            for s in range(seeds) for split in splits]
    results = pd.DataFrame(rows, columns=style.COLUMNS)
    changes = paired.paired_change(results, split=["episode", "window"])
    summary = paired.summarise(changes)
    areas = {c: 0.1 for c in ("B", "C3") if c in names}
    auxiliary = [c for c in names if c != "A"]
    figures = {"1": paper_figures.figure1(changes, summary, NONE),
               "2": paper_figures.figure2(changes, summary, NONE),
               "3": paper_figures.figure3(changes, summary, NONE, auxiliary),
               "bars": level_panels.scale_bars(results),
               "area": paper_figures.benefit_against_area(summary, areas)}
    drawn = {name.split("/")[0] for name in artists(figures["1"]) if name.endswith("/mean")}
    absent = {name.split("/")[0] for name in artists(figures["1"]) if name.endswith("/absent")}
    others = texts(figures["1"]).partition("not among the conditions chosen: ")[2]
    assert drawn == set(auxiliary) and absent == (set() if auxiliary else set(CONDITIONS) - {"A"})
    assert all(name in others for name in set(CONDITIONS) - set(names)) or not auxiliary
    for fig in figures.values():
        assert seeds > 1 or not any(name.endswith("/interval") for name in artists(fig))
    assert ("not run: no condition" in texts(figures["3"])) == (not auxiliary)
    assert ("not run: no condition" in texts(figures["area"])) == (not areas)
    table = paper_figures.study_table(changes, summary, 1)
    assert (table.statistic == "seed").sum() == len(changes)


def test_a_row_added_to_the_conditions_is_a_bar_in_figure_1(study, monkeypatch):
    monkeypatch.setitem(CONDITIONS, "H", Condition("H", "sounds of the scene", "sound"))
    extra = study.results[study.results.condition == "B"].assign(condition="H")
    changes = paired.paired_change(pd.concat([study.results, extra]))
    fig = paper_figures.figure1(changes, paired.summarise(changes), NONE)
    mean = artists(fig)["H/pilot/episode/mean"]
    assert mean.get_color() in style.OTHER_COLOURS and ticks(fig.axes[0])[-1] == "H"
    assert "sounds of the scene" in texts(fig)
    assert ", H" in texts(paper_figures.figure1(study.changes, study.summary, NONE))
