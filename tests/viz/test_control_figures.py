"""Figures of the controls draw the numbers of their tables, where they say."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import paired, paper, scaling
from lewm_core.viz import control_figures
from tests.viz.drawn import artists, texts

SIZES = {"pilot": 13, "n25": 25, "n50": 50, "full": 100}


@pytest.fixture(scope="module")
def changes():
    rng = np.random.default_rng(0)
    rows = [(c, scale, "episode", "mse", seed, mean + 0.2 * rng.normal())
            for c, means in (("B", (-9, -4, 2, 6)), ("E", (-5, -5, -4, -4)))
            for scale, mean in zip(SIZES, means, strict=True) for seed in range(3)]
    return pd.DataFrame(rows, columns=["condition", "scale", "split", "metric", "seed", "change"])


def test_effect_against_size_draws_means_bands_crossings_and_the_papers_values(changes):
    found = {c: scaling.crossing(changes, SIZES, np.random.default_rng(0), c) for c in ("B", "E")}
    fig = control_figures.effect_against_size(found, changes, SIZES)
    drawn = artists(fig)
    for c, crossing in found.items():
        assert drawn[f"{c}/line"].get_ydata() == pytest.approx(crossing.means)
        for size, mean in zip(crossing.sizes, crossing.means, strict=True):
            assert drawn[f"{c}/{size:g}/mean"].get_ydata() == pytest.approx([mean])
        assert f"{c}/band" in drawn
        assert drawn[f"{c}/full/paper"].get_ydata() == [paper.reported(3, "full")[c]]
    assert drawn["B/crossing"].get_xdata() == pytest.approx([found["B"].size]) and "E/crossing" not in drawn
    assert drawn["B/crossing/interval"].get_xdata() == pytest.approx([found["B"].low, found["B"].high])
    words = texts(fig)
    assert f"crosses 0 at {found['B'].size:.0f}" in words and "no crossing" in words and "within noise" not in words
    single = changes[changes.seed == 0]
    one = {"B": scaling.crossing(single, SIZES, np.random.default_rng(0), "B")}
    assert "B/crossing/interval" not in artists(control_figures.effect_against_size(one, single, SIZES))


def test_effects_by_arm_draw_means_where_their_arms_stand(changes):
    summary = paired.summarise(changes)
    arms = ["n50", "pilot"]
    fig = control_figures.effects_by_arm(changes, summary, arms)
    found = artists(fig)
    parts = ("mean", "interval", "seeds")
    assert set(found) == {f"{c}/{arm}/{part}" for c in "BE" for arm in arms for part in parts}
    means = summary.set_index(["condition", "scale"])["mean"]
    for y, arm in enumerate(arms):
        assert found[f"B/{arm}/mean"].get_xdata() == [means["B", arm]] and found[f"B/{arm}/mean"].get_ydata() == [y]
    assert "n50" in texts(fig) and "n25" not in texts(fig) and "n = 3" in texts(fig)


def test_area_families_draw_their_means():
    areas = pd.DataFrame([("C1", 0.03, -7), ("C2", 0.1, -5), ("C1-rnd", 0.03, -3), ("B", 1.0, -9)],
                         columns=["condition", "area", "mean"])
    fig = control_figures.area_families(areas.assign(low=areas["mean"] - 1, high=areas["mean"] + 1))
    found = artists(fig)
    assert found["in the mask/mean"].get_ydata().tolist() == [-7, -5] and found["B/mean"].get_ydata()[0] == -9
    assert found["C2/paper"].get_ydata() == [paper.reported(2)["C2"]] and "random placement" in texts(fig)


def test_every_route_is_drawn_at_its_mean():
    rng = np.random.default_rng(0)
    rows = [(c, scale, "episode", "mse", seed, rng.normal()) for scale in ("full", "pilot")
            for c in ("B", "B-patch", "D", "D-pp") for seed in range(4)]
    changes = pd.DataFrame(rows, columns=["condition", "scale", "split", "metric", "seed", "change"])
    summary = paired.summarise(changes)
    fig = control_figures.patch_effects(changes, summary)
    drawn = artists(fig)
    for row in summary.itertuples():
        assert drawn[f"{row.condition}/{row.scale}/mean"].get_ydata() == [row.mean]
        assert len(drawn[f"{row.condition}/{row.scale}/seeds"].get_offsets()) == 4
    assert [ax.get_title(loc="left").split(":")[0] for ax in fig.axes] == ["pilot", "full"]


@pytest.mark.parametrize("rows", ["none", "one seed", "window split only"])
def test_any_choice_is_drawn_or_said_not_to_be_run(changes, rows):
    if rows == "none":
        some = changes.iloc[:0]
    elif rows == "one seed":
        some = changes[changes.seed == 0]
    else:
        some = changes.assign(split="window")
    summary = paired.summarise(some)
    names = list(dict.fromkeys(some.condition))
    crossings = {c: scaling.crossing(some, SIZES, np.random.default_rng(0), c) for c in names}
    areas = summary[summary.scale == "pilot"].assign(area=0.1)
    figures = [control_figures.effect_against_size(crossings, some, SIZES),
               control_figures.effects_by_arm(some, summary, ["pilot", "full"]),
               control_figures.area_families(areas), control_figures.patch_effects(some, summary)]
    for fig in figures:
        assert ("not run: no condition" in texts(fig)) == (rows == "none")
        assert not any(name.endswith("/interval") for name in artists(fig)) or rows != "one seed"
    if rows == "window split only":
        assert all("window split" in texts(fig) for fig in (figures[0], figures[1], figures[3]))
