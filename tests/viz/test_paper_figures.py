"""Figures 1–3 draw the numbers of their tables, all of them, in the fixed order, and say what is not there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from lewm_core.conditions import CONDITIONS, Condition
from lewm_core.stats import paired, paper
from lewm_core.viz import level_panels, paper_figures, style
from tests.viz.drawn import artists, misplaced, texts

NONE = pd.DataFrame(columns=["condition", "scale", "reason"])  # skipped
REASON = "Depth needs a backend with weights; none was given."


def rows_of(fig):
    """The conditions of a figure's rows, from above."""
    return [t.get_text().split(":")[0] for t in fig.axes[0].get_yticklabels()]


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


def made(make, results, skipped=NONE):
    """A figure of the study."""
    return make(results, skipped, ["B", "D", "E"]) if make is paper_figures.figure3 else make(results, skipped)


FIGURES = [paper_figures.figure1, paper_figures.figure2, paper_figures.figure3]


@pytest.mark.parametrize("make", FIGURES)
def test_every_number_of_the_table_is_drawn_where_it_says(study, make):
    found = artists(made(make, study.results, study.skipped))
    shown = {paper_figures.figure1: list(CONDITIONS), paper_figures.figure2: ["B", "C1", "C2", "C3"],
             paper_figures.figure3: ["B", "D", "E"]}[make]
    scales = ["pilot", "full"] if make is paper_figures.figure3 else ["pilot"]
    summary = study.summary[study.summary.condition.isin(shown) & study.summary.scale.isin(scales)]
    assert len(summary) >= 8
    seeds = {}
    for _, row in summary.iterrows():
        key = f"{row.condition}/{row.scale}/{row.split}/mse"
        assert found[key + "/mean"].get_xdata() == pytest.approx([row["mean"]])
        assert found[key + "/interval"].get_xdata() == pytest.approx([row.low, row.high])
        noise = found[key + "/noise"]
        assert [noise.get_x(), noise.get_width()] == pytest.approx([(row.low - row.high) / 2, row.high - row.low])
        own = study.changes.query("condition == @row.condition and scale == @row.scale and split == @row.split")
        beyond = {n for n in own.seed if f"{key}/seed {n} beyond" in found}
        seeds[key] = own[~own.seed.isin(beyond)].sort_values("seed").change.tolist()
        assert found[key + "/seeds"].get_offsets()[:, 0].tolist() == pytest.approx(seeds[key])
    drawn = {k for k in found if k.endswith("/mse/mean") and not k.startswith("A/")}
    assert len(drawn) == len(summary)


@pytest.mark.parametrize(("make", "number"), list(zip(FIGURES, (1, 2, 3), strict=True)))
def test_the_paper_s_values_are_drawn_at_their_own_scale(study, make, number):
    fig = made(make, study.results, study.skipped)
    found = artists(fig)
    for row in paper.REPORTED[paper.REPORTED.figure == number].itertuples():
        star = found[f"{row.condition}/{row.scale}/paper"]
        assert star.get_xdata() == [row.change]
        assert star.axes is not found["B/pilot/episode/mse/mean"].axes
        assert f"{row.change:+.1f}".replace("-", "−") in texts(fig)


def test_conditions_stand_in_their_order_whatever_the_table_s(study):
    shuffled = study.results.sample(frac=1, random_state=0)
    fig = paper_figures.figure1(shuffled, study.skipped)
    assert rows_of(fig) == ["A", "B", "C1", "C2", "C3", "C4", "D", "D-fg", "E", "F", "G"]
    y = [artists(fig)[f"{c}/pilot/episode/mse/mean"].get_ydata()[0] for c in ("B", "C1", "D", "D-fg", "E", "F", "G")]
    assert y == sorted(y) and fig.axes[0].yaxis_inverted()
    assert rows_of(paper_figures.figure2(shuffled, NONE)) == ["A", "B", "C1", "C2", "C3", "C4"]
    assert "order A to G" in texts(fig)


def test_skipped_conditions_are_there_with_their_whole_reason_and_others_as_not_run(study):
    long = REASON * 5
    for skipped in (study.skipped, study.skipped.assign(reason=long)):
        fig = paper_figures.figure1(study.results, skipped)
        assert f"Not run: C4. {skipped.reason.item()}" in texts(fig)
        assert "C4/pilot/episode/mse/mean" not in artists(fig) and "C4/mse/absent" in artists(fig)
    assert not misplaced(fig)
    others = paper_figures.figure1(study.results, NONE)
    assert "Not among the conditions chosen: C4 (paper −14.5 %)" in texts(others)
    assert "C4" not in rows_of(others)


def test_all_skipped_but_the_baseline_still_makes_a_figure(study):
    alone = study.results[study.results.condition == "A"]
    skipped = pd.DataFrame([(c, s, REASON) for c in CONDITIONS for s in ("pilot", "full")],
                           columns=study.skipped.columns)
    for make in FIGURES:
        fig = made(make, alone, skipped)
        assert "Depth needs a backend" in texts(fig)


def test_one_seed_is_drawn_without_an_interval_and_told_so(study):
    fig = paper_figures.figure1(study.results[study.results.seed == 0], study.skipped)
    found = artists(fig)
    assert "B/pilot/episode/mse/mean" in found and "B/pilot/episode/mse/interval" not in found
    assert not any(name.endswith("/noise") for name in found) and "one seed, no interval" in texts(fig)


def test_the_window_split_is_hollow(study):
    found = artists(paper_figures.figure1(study.results, study.skipped))
    assert found["B/pilot/episode/mse/mean"].get_markerfacecolor() == style.colour("B")
    assert found["B/pilot/window/mse/mean"].get_markerfacecolor() == "white"


def table_of(changes, scatter=0.5, seeds=6, metrics=("mse",), far=()):
    """Results of A and of conditions that change it by so many per cent, seeds scattered about that."""
    rng = np.random.default_rng(1)
    rows = []
    for name, change in {"A": 0.0, **changes}.items():
        for seed in range(seeds):
            noise = rng.normal(0, scatter) if name != "A" else 0.0
            value = 1 + (change + noise + (10 if (name, seed) in far else 0)) / 100
            rows += [(name, "pilot", seed, split, metric, value) for split in ("episode", "window")
                     for metric in metrics]
    return pd.DataFrame(rows, columns=style.COLUMNS)


def test_the_title_is_the_finding():
    """Whatever the data are: the sign, the interval, which conditions."""
    signals = {"B": -3, "D": 0.0, "E": 2, "B-shuf": -9, "P": -30}
    title = paper_figures.figure1(table_of(signals), NONE).axes[0].get_title(loc="left").replace("\xa0", " ")
    words = " ".join(title.split())
    assert "better than A: B −2.9 %; worse than A: E +1.9 %; no change seen: D +0.11 %" in words
    assert "B-shuf" not in words and "P " not in words, "a control is no finding of the paper's signals"
    other = paper_figures.figure1(table_of({"B": 3}), NONE).axes[0].get_title(loc="left").replace("\xa0", " ")
    assert "B +3.1 % [" in other and " ".join(other.split()).count("worse than A") == 2 and "better" not in other
    none = paper_figures.figure1(table_of({"P": 3}), NONE).axes[0].get_title(loc="left")
    assert "no condition beside the baseline" in " ".join(none.split())


def test_what_lies_beyond_the_edge_is_an_arrow_and_a_number_in_words():
    """References and the positive control do not decide the axis, nor does a single seed."""
    fig = paper_figures.figure1(table_of({"base": 80, "lr-0": 120, "B": -1, "P": 73}, seeds=12, far=[("B", 2)]), NONE)
    found, ax = artists(fig), fig.axes[0]
    low, high = ax.get_xlim()
    assert -4 < low < high < 6, "one per cent is seen"
    assert found["B/pilot/episode/mse/seed 2 beyond"].get_xdata() == [high]
    assert len(found["B/pilot/episode/mse/seeds"].get_offsets()) == 11
    for name in ("base", "lr-0", "P"):
        assert found[f"{name}/pilot/episode/mse/beyond"].get_xdata() == [high]
        assert f"{name}/pilot/episode/mse/mean" not in found
    said = texts(fig)
    assert "+80." in said and "+120 [" in said and "+73." in said
    assert all(t.get_rotation() == 0 for t in ax.findobj(Text) if t.get_text())


@pytest.mark.parametrize(("number", "count"), [(1, 2), (1, 14), (2, 5), (3, 9)])
def test_words_overlap_nothing_at_any_number_of_conditions(number, count):
    names = ["B", "base", "lr-0", "B-shuf", "D", "D-shuf", "E", "P", "C1", "C2", "C3", "C4", "D-fg", "F", "G"][:count]
    rng = np.random.default_rng(count)
    changes = {name: rng.normal(0, 3) + (200 if name in ("base", "lr-0") else 0) for name in names}
    results = table_of(changes, 2, metrics=("mse", "mse_over_static", "gripper_5"))
    if number == 3:
        fig = paper_figures.figure3(pd.concat([results, results.assign(scale="full")]), NONE, names)
    else:
        fig = FIGURES[number - 1](results, NONE)
    style.add_caption(fig, "profile x · data: y, simulated · base: z · seeds: 12 pilot, 8 full · commit 0123456789")
    assert misplaced(fig) == []


def test_the_order_told_is_of_the_rows_that_are_there():
    said = texts(paper_figures.figure2(table_of({"B": -1, "base": 80}), NONE))
    assert "Rows: the references, then the signals" in said and "-shuf" not in said and "positive control" not in said
    said = texts(paper_figures.figure1(table_of({"B": -1, "B-shuf": 1, "base": 80, "P": -9}), NONE))
    assert "(-shuf: the same head" in said and "then the positive control P." in said


def test_an_unknown_metric_has_no_panel_and_the_primary_outcome_comes_first():
    fig = paper_figures.figure1(table_of({"B": -1}, metrics=("mse", "gripper_5", "sigreg")), NONE)
    titles = [ax.get_title(loc="left").split(",")[0] for ax in fig.axes[:3]]
    assert titles[:2] == ["gripper", "next-latent MSE"] and titles[2].startswith("What the paper reports")


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


def test_effect_table_holds_what_is_drawn_beyond_the_study_table():
    results = table_of({"base": 80, "B": -1, "P": 4}, metrics=("mse", "gripper_5"))
    table = paper_figures.effect_table(results, ["pilot"])
    assert list(table.columns[:6]) == style.COLUMNS
    seeds = table[(table.statistic == "seed") & (table.split == "episode")]
    assert set(seeds.condition[seeds.metric == "mse change %"]) == {"base"}, "the others' are in study_table"
    assert set(seeds.condition[seeds.metric == "gripper_5 change %"]) == {"base", "B", "P"}
    level = table[(table.statistic == "level") & (table.condition == "B") & (table.metric == "gripper_5")]
    own = results[(results.condition == "B") & (results.metric == "gripper_5") & (results.split == "episode")]
    assert level[level.split == "episode"].value.item() == pytest.approx(own.value.mean())


CHOICES = {"A": ["A"], "A and D": ["A", "D"], "masks and one's own": ["A", "B", "C3", "mine"], "all": [*CONDITIONS]}


@pytest.mark.parametrize(("seeds", "splits"), [(1, ["window"]), (3, ["episode", "window"])])
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
    figures = {"1": paper_figures.figure1(results, NONE),
               "2": paper_figures.figure2(results, NONE),
               "3": paper_figures.figure3(results, NONE, auxiliary),
               "bars": level_panels.scale_bars(results),
               "area": paper_figures.benefit_against_area(summary, areas)}
    drawn = {name.split("/")[0] for name in artists(figures["1"]) if name.endswith("/mean")} - {"A"}
    absent = {name.split("/")[0] for name in artists(figures["1"]) if name.endswith("/absent")}
    others = texts(figures["1"]).partition("Not among the conditions chosen: ")[2]
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
    fig = paper_figures.figure1(pd.concat([study.results, extra]), NONE)
    mean = artists(fig)["H/pilot/episode/mse/mean"]
    assert mean.get_color() in style.OTHER_COLOURS and rows_of(fig)[-1] == "H"
    assert "sounds of the scene" in texts(fig)
    assert ", H" in texts(paper_figures.figure1(study.results, NONE))
