"""Figures draw the numbers of their tables, all of them, in the fixed order; saving is atomic and repeatable."""

import hashlib
import io
import json
from types import SimpleNamespace

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lewm_core.conditions import CONDITIONS
from lewm_core.signals.extraction import ARRAYS, Signals
from lewm_core.sources.episode import Episode
from lewm_core.stats import paired, paper
from lewm_core.utils.errors import InputError
from lewm_core.viz import data_figures, paper_figures, style
from lewm_core.viz import images as pictures

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


def artists(fig):
    """Everything in a figure that carries a gid."""
    return {a.get_gid(): a for a in fig.findobj(lambda a: a.get_gid() is not None)}


def texts(fig):
    return " ".join(t.get_text().replace("\n", " ") for t in fig.findobj(matplotlib.text.Text))


def ticks(ax):
    return [t.get_text().split("\n")[0] for t in ax.get_xticklabels()]


@pytest.mark.parametrize("make", [paper_figures.figure1, paper_figures.figure2, paper_figures.figure3])
def test_every_number_of_the_table_is_drawn_where_it_says(study, make):
    fig = make(study.changes, study.summary, "", study.skipped)
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


@pytest.mark.parametrize(("make", "number"), [(paper_figures.figure1, 1), (paper_figures.figure2, 2), (paper_figures.figure3, 3)])
def test_the_paper_s_values_are_drawn(study, make, number):
    found = artists(make(study.changes, study.summary, "", study.skipped))
    for row in paper.REPORTED[paper.REPORTED.figure == number].itertuples():
        assert found[f"{row.condition}/{row.scale}/paper"].get_ydata() == [row.change]


def test_conditions_stand_in_their_order_whatever_the_table_s(study):
    shuffled = study.changes.sample(frac=1, random_state=0), study.summary.sample(frac=1, random_state=1)
    fig = paper_figures.figure1(*shuffled, "", study.skipped)
    assert ticks(fig.axes[0]) == ["B", "C1", "C2", "C3", "C4", "D", "D-fg", "E", "F", "G"]
    x = [artists(fig)[f"{c}/pilot/episode/mean"].get_xdata()[0] for c in ("B", "C1", "D", "D-fg", "E", "F", "G")]
    assert x == sorted(x)
    assert ticks(paper_figures.figure2(*shuffled).axes[0]) == ["B", "C1", "C2", "C3", "C4"]


def test_skipped_conditions_are_there_with_their_reason_and_others_as_not_run(study):
    fig = paper_figures.figure1(study.changes, study.summary, "", study.skipped)
    assert "skipped: " + REASON.rstrip(".") in texts(fig)
    assert "C4/pilot/episode/mean" not in artists(fig)
    label = fig.axes[0].get_xticklabels()[4]
    assert label.get_text().startswith("C4") and label.get_color() == style.GREY
    assert "not run" in texts(paper_figures.figure1(study.changes, study.summary))


def test_all_skipped_but_the_baseline_still_makes_a_figure(study):
    empty = study.changes.iloc[:0], study.summary.iloc[:0]
    skipped = pd.DataFrame([(c, s, REASON) for c in CONDITIONS for s in ("pilot", "full")],
                           columns=study.skipped.columns)
    for make in (paper_figures.figure1, paper_figures.figure2, paper_figures.figure3):
        assert "skipped" in texts(make(*empty, "", skipped))


def test_one_seed_is_drawn_without_an_interval(study):
    changes = study.changes[study.changes.seed == 0]
    summary = paired.summarise(changes)
    found = artists(paper_figures.figure1(changes, summary, "", study.skipped))
    assert "B/pilot/episode/mean" in found and "B/pilot/episode/interval" not in found


def test_the_window_split_is_hollow(study):
    found = artists(paper_figures.figure1(study.changes, study.summary, "", study.skipped))
    assert found["B/pilot/episode/mean"].get_markerfacecolor() == style.colour("B")
    assert found["B/pilot/window/mean"].get_markerfacecolor() == "white"


def test_a_users_own_condition_comes_last(study):
    extra = study.results[study.results.condition == "B"].assign(condition="mine")
    changes = paired.paired_change(pd.concat([study.results, extra]))
    fig = paper_figures.figure1(changes, paired.summarise(changes))
    assert ticks(fig.axes[0])[-1] == "mine"


def test_two_metrics_in_one_figure_are_refused(study):
    both = pd.concat([study.summary, study.summary.assign(metric="sigreg")])
    with pytest.raises(InputError, match="mse, sigreg"):
        paper_figures.figure1(study.changes, both)
    ratio = study.changes.assign(metric="mse_over_variance"), study.summary.assign(metric="mse_over_variance")
    assert "MSE over target variance" in texts(paper_figures.figure1(*ratio))


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
    fig = paper_figures.scale_bars(rows)
    assert texts(fig).count("pilot / full = 2.5") == 2
    assert artists(fig)["pilot/episode/mean"].get_height() == 1.25


def test_colours_are_distinct_and_one_per_condition():
    assert set(CONDITIONS) <= set(style.COLOURS)
    assert len(set(style.COLOURS.values())) == len(style.COLOURS)
    assert style.colour("mine") in style.OTHER_COLOURS


def test_caption_says_profile_simulation_seeds_and_commit():
    line = paper_figures.caption({"profile": "quick", "data": "tabletop", "seeds": [0, 1, 2], "commit": "0123456789abcdef",
                          "dirty": True})
    assert line == "profile quick · data: tabletop, simulated · 3 seeds · commit 0123456789 with local changes"
    assert "simulated" not in paper_figures.caption({"data": "bridge"})
    assert "commit unknown" in paper_figures.caption({"commit": None})


# ------------------------------------------------------------------------------------------------- tables and saving


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


@pytest.fixture
def saved(study, tmp_path):
    table = paper_figures.study_table(study.changes, study.summary, 2, study.skipped)

    def save(folder, table=table, provenance=None):
        fig = paper_figures.figure2(study.changes, study.summary, "a caption", study.skipped)
        return paper_figures.save_figure(fig, tmp_path / folder / "figure2", table, provenance or {"profile": "smoke"})

    return SimpleNamespace(save=save, table=table, folder=tmp_path)


def test_saved_files(saved):
    paths = saved.save("a")
    assert [p.name for p in paths] == ["figure2.png", "figure2.svg", "figure2.csv", "figure2.json"]
    assert {p.name for p in (saved.folder / "a").iterdir()} == {p.name for p in paths}
    assert Image.open(paths[0]).size[0] == pytest.approx(8 * 150, abs=2)
    assert ">a caption<" in paths[1].read_text()  # text as text
    back = pd.read_csv(paths[2], keep_default_na=False, na_values=[""])
    assert list(back.columns) == list(saved.table.columns)
    assert back.value.to_numpy(float) == pytest.approx(saved.table.value.to_numpy(float), abs=0, nan_ok=True)
    assert back.condition.tolist() == saved.table.condition.tolist()
    assert back.seed.astype("Int64").equals(saved.table.seed)
    assert json.loads(paths[3].read_text()) == {"profile": "smoke"}


def test_same_figure_same_bytes(saved):
    for one, two in zip(saved.save("a"), saved.save("b"), strict=True):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest(), one.name


@pytest.mark.parametrize("column", style.COLUMNS)
def test_a_table_without_its_columns_is_refused_before_anything_is_written(saved, column):
    with pytest.raises(InputError, match=column):
        saved.save("a", table=saved.table.drop(columns=column))
    assert not (saved.folder / "a").exists()


def test_a_failure_leaves_all_four_predecessors(saved, monkeypatch):
    before = {p: p.read_bytes() for p in saved.save("a")}
    with pytest.raises(InputError, match="provenance"):
        saved.save("a", provenance={"loss": float("nan")})

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)  # after PNG and SVG have been written beside the old ones
    with pytest.raises(OSError, match="disk full"):
        saved.save("a", provenance={"profile": "quick"})
    assert {p: p.read_bytes() for p in (saved.folder / "a").iterdir()} == before


def test_tidy_fills_what_does_not_apply():
    drawn = pd.DataFrame({"step": [1], "model": ["B"], "distance": [2.5]})
    table = paper_figures.tidy(drawn, "distance", "l2", "model", scale="pilot", split="episode")
    assert table[style.COLUMNS].drop(columns="seed").values.tolist() == [["B", "pilot", "episode", "l2", 2.5]]
    assert table.seed.isna().all() and table.step.tolist() == [1]


def test_no_figure_stays_open_and_each_shows_itself(study):
    fig = paper_figures.figure2(study.changes, study.summary)
    assert matplotlib.pyplot.get_fignums() == []
    assert Image.open(io.BytesIO(fig._repr_png_())).size == (800, 520)


# ------------------------------------------------------------------------------------------------------------- charts


def test_track_quality_counts_by_hand():
    points = pd.DataFrame({"backend": "classical", "error": [1.0, 3.0, 100.0, 7.0], "visible_true": [1, 1, 0, 1],
                           "visible": [1, 1, 1, 0]})
    fig = data_figures.track_quality(points)
    assert artists(fig)["classical/cdf"].get_xdata() == pytest.approx([1, 3])
    words = texts(fig)
    assert "median 2 px" in words and "50%" in words and words.count("67%") == 2


def test_on_object_counts_beside_the_paper_s():
    counts = pd.DataFrame({"layout": ["uniform"] * 2 + ["foreground"] * 2, "count": [2, 4, 50, 60]})
    found = artists(data_figures.on_object_counts(counts))
    assert found["uniform/paper"].get_ydata() == [5] and found["foreground/paper"].get_ydata() == [47]
    assert found["uniform/mean"].get_segments()[0][0, 1] == 3 and found["foreground/mean"].get_segments()[0][0, 1] == 55
    assert sorted(found["foreground/frames"].get_offsets()[:, 1]) == [50, 60]


def test_probe_bars_draw_the_mean_and_label_what_they_cut():
    table = pd.DataFrame({"target": ["depth", "depth", "tracks"], "tokens": ["CLS", "CLS", "patch"], "seed": [0, 1, 0],
                          "r2": [0.4, 0.6, -7.0]})
    fig = data_figures.probe_bars(table)
    assert artists(fig)["depth/CLS/"].get_height() == pytest.approx(0.5)
    assert artists(fig)["tracks/patch/"].get_height() == data_figures.LOWEST_R2 and "−7.00" in texts(fig)


def test_rollout_distance_and_learning_curves_draw_means():
    table = pd.DataFrame({"step": [1, 2, 1, 2] * 2, "model": ["B"] * 4 + ["static"] * 4,
                          "distance": [1, 2, 3, 4, 5, 6, 7, 8]})
    found = artists(data_figures.rollout_distance(table))
    assert found["B/mean"].get_ydata() == pytest.approx([2, 3]) and found["static/mean"].get_linestyle() == "--"
    curves = pd.DataFrame({"condition": "B", "seed": [0, 0, 1, 1], "step": [0, 5, 0, 5], "value": [4.0, 2.0, 2.0, 0.0]})
    assert artists(data_figures.learning_curves(curves))["B/mean"].get_ydata() == pytest.approx([3, 1])


def test_score_distributions():
    scores = pd.DataFrame({"part_length": [0.0, 0.5, 1.0], "part_mask_coverage": [1.0, 1.0, 0.0],
                           "accepted": [True, True, False]})
    fig = data_figures.score_distributions(scores)
    assert "accepted (2)" in texts(fig) and "rejected (1)" in texts(fig) and "mask coverage" in texts(fig)


@pytest.mark.parametrize("chart", [data_figures.score_distributions, data_figures.track_quality, data_figures.on_object_counts,
                                   data_figures.probe_bars, data_figures.rollout_distance,
                                   data_figures.learning_curves])
def test_charts_say_which_columns_they_need(chart):
    with pytest.raises(InputError, match="no column"):
        chart(pd.DataFrame({"other": [1]}))


# ----------------------------------------------------------------------------------------------------------- pictures


def packet(missing=()):
    rng = np.random.default_rng(0)
    t, size, n = 12, 56, 40
    episode = Episode("e0", rng.integers(0, 255, (t, size, size, 3)).astype(np.uint8), np.zeros((t, 7), np.float32),
                      np.zeros((t, 7), np.float32), "put the can on the plate")
    mask = np.zeros((t, size, size), bool)
    mask[:, 20:30, 20:30] = True
    arrays = {"depth": rng.uniform(0.5, 1, (t, 56, 56)).astype(np.float32), "mask": mask,
              "tracks": rng.uniform(0, size, (t, n, 2)).astype(np.float32), "visible": np.ones((t, n), bool)}
    arrays |= {"tracks_fg": arrays["tracks"], "visible_fg": arrays["visible"]}
    arrays |= {name: None for name in missing}
    reasons = {name: f"No {name}, for a reason." for name in missing}
    return episode, Signals("e0", **dict.fromkeys(ARRAYS) | arrays, made_by={}, missing=reasons)


def test_packet_view_shows_rows_over_time_and_why_one_is_missing():
    fig = pictures.packet_view(*packet())
    assert len(fig.axes) == 5 * 8 and all(len(ax.images) == 1 for ax in fig.axes)
    assert "t = 0" in texts(fig) and "t = 11" in texts(fig)
    fig = pictures.packet_view(*packet(["depth"]), n=3)
    assert texts(fig).count("missing: No depth, for a reason.") == 2  # depth, and masked depth with it
    assert sum(len(ax.images) for ax in fig.axes) == 3 * 3
    assert "foreground" in texts(pictures.packet_view(*packet(), n=2))
    _, only_uniform = packet(["tracks_fg", "visible_fg"])
    _, nothing_found = packet()
    nothing_found.mask[0] = False  # then the "biased" queries are the uniform grid, and must not be called otherwise
    for signals in (only_uniform, nothing_found):
        assert "foreground" not in texts(pictures.packet_view(packet()[0], signals, n=2))


def test_masked_depth_is_black_outside_the_mask():
    depth, inside = np.full((4, 4), 1.0), np.eye(4, dtype=bool)
    image = pictures.draw_depth(depth, 0.5, 2.0, inside)
    assert (image[~inside] == 0).all() and image[inside].any(-1).all()
    near, far = pictures.draw_depth(np.array([[0.5, 2.0]]), 0.5, 2.0)[0].astype(int).sum(-1)
    assert near > far


def columns(n=4, size=8):
    frames = np.stack([np.full((size, size, 3), 40 * i, np.uint8) for i in range(n)])
    return [pictures.RolloutColumn("ground truth", frames),
            pictures.RolloutColumn("B retrieval", frames[::-1], "B", [f"e{i}\nd = {i}.5" for i in range(n)])]


def test_rollout_strip_shows_the_frames_of_the_chosen_steps():
    fig = pictures.rollout_strip(columns(), [1, 2, 5, 10], show=[2, 10])
    shown = [int(np.asarray(ax.images[0].get_array())[0, 0, 0]) for ax in fig.axes]
    assert shown == [40, 80, 120, 0]
    assert "+2" in texts(fig) and "e1 d = 1.5" in texts(fig) and "e0" not in texts(fig)


def test_rollout_animation_has_a_frame_per_step_and_is_repeatable(tmp_path):
    one = pictures.rollout_animation(columns(), [1, 2, 3, 4], tmp_path / "a.gif", seconds=0.5)
    two = pictures.rollout_animation(columns(), [1, 2, 3, 4], tmp_path / "b.gif", seconds=0.5)
    gif = Image.open(one)
    assert gif.n_frames == 4 and gif.info["duration"] == 500 and one.read_bytes() == two.read_bytes()
    for i in range(4):
        gif.seek(i)
        pixel = gif.convert("RGB").getpixel((6 + 80, 22 + 80))  # the middle of the first column
        assert np.abs(np.array(pixel) - 40 * i).max() < 12


def test_rollout_columns_must_agree_with_the_steps(tmp_path):
    with pytest.raises(InputError, match="B retrieval: 4 frames"):
        pictures.rollout_strip([columns()[1]], [1, 2, 3])


def test_contact_sheet_marks_the_accepted():
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    fig = pictures.contact_sheet(images, ["one", "two", "three"], ncols=2, good=[True, False, True])
    styles = [ax.spines["left"].get_linestyle() for ax in fig.axes[:3]]
    assert styles[0] == styles[2] != styles[1] and "three" in texts(fig)
    with pytest.raises(InputError, match="3 images, 1 titles"):
        pictures.contact_sheet(images, ["one"])
