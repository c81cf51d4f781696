"""What the controls conclude, on planted effects."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.stats import contrasts, paired, scaling, verdicts
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED
from lewm_core.utils.errors import InputError


def table(means, n=4, scatter=0.2, seed=0):
    """Changes with planted means {(condition, arm): mean}."""
    rng = np.random.default_rng(seed)
    rows = [(c, arm, split, "mse", s, mean + scatter * rng.normal()) for (c, arm), mean in means.items()
            for split in ("episode", "window") for s in range(n)]
    return pd.DataFrame(rows, columns=["condition", "scale", "split", "metric", "seed", "change"])


@pytest.fixture
def changes():
    """B loses its benefit with scale only, D with curation only, E with neither."""
    arms = {"best few": (-9, -9, -9), "best many": (2, -9, -9), "random few": (-9, 2, -9), "random many": (2, 2, -9)}
    return table({(c, arm): mean for arm, means in arms.items() for c, mean in zip("BDE", means, strict=True)})


def test_scale_and_curation_are_told_apart(changes):
    conditions = ["B", "D", "E"]
    scale = contrasts.lost(changes, {k: (f"{k} few", f"{k} many") for k in ("best", "random")}, conditions)
    curation = contrasts.lost(changes, {k: (f"best {k}", f"random {k}") for k in ("few", "many")}, conditions)
    found = {name: {c: f.verdict for c, f in contrasts.together(x).items()}
             for name, x in (("scale", scale), ("curation", curation))}
    assert found["scale"]["B"] == found["curation"]["D"] == SUPPORTED
    assert all(found[name][c] != SUPPORTED for name, c in (("scale", "D"), ("scale", "E"), ("curation", "B"),
                                                           ("curation", "E")))
    assert scale["best", "B"].mean == pytest.approx(11, abs=0.5)
    assert "scale: B **supported**" in contrasts.conclude({"scale": scale})
    lines = contrasts.markdown(scale).splitlines()
    assert len(lines) == 2 + len(scale) and all(line.count("|") == 7 for line in lines)
    open_ = sum(f.verdict == UNDECIDED for f in scale.values())
    assert contrasts.undecided(scale) == (f"Of the 6 predictions 0 are not tested here, and {open_} not decided at "
                                          "this power.")
    untested = {key: verdicts.untested(f, ["a gate is shut"]) for key, f in scale.items()}
    assert contrasts.undecided(untested).startswith("Of the 6 predictions 6 are not tested here, and 0 ")


def test_one_refuted_prediction_refutes_the_explanation():
    back = table({("B", "a"): 0, ("B", "b"): 5, ("B", "c"): 0})
    found = contrasts.lost(back, {"up": ("a", "b"), "down": ("b", "c")}, ["B"])
    assert [f.verdict for f in found.values()] == [SUPPORTED, CONTRADICTED]
    assert contrasts.together(found)["B"].verdict == CONTRADICTED


def test_an_arm_that_is_not_there_is_named(changes):
    with pytest.raises(InputError, match="'best all'.*best few, best many"):
        contrasts.change(changes, "B", "best all")


def test_fell_is_the_mirror_of_lost():
    small, large = (pd.Series(v, dtype=float) for v in ((0, 0.1, -0.1), (-3, -3.2, -2.9)))
    down, up = verdicts.fell(small, large, " points", 1), verdicts.lost(-small, -large)
    assert down.verdict == up.verdict == SUPPORTED
    assert (down.mean, down.low, down.high) == pytest.approx((-up.mean, -up.high, -up.low))
    assert verdicts.fell(large, small, " points", 1).verdict == CONTRADICTED


def test_gradients_that_turn_against_the_prediction_or_fade():
    def gradients(cosines, ratios, seed=0):
        rng = np.random.default_rng(seed)
        return pd.DataFrame([("B", scale, s, step, "depth", cosine + 0.01 * rng.normal(), ratio)
                             for scale, cosine, ratio in zip(("pilot", "full"), cosines, ratios, strict=True)
                             for s in range(4) for step in (0, 5)],
                            columns=["condition", "scale", "seed", "step", "head", "cosine", "ratio"])

    def verdict(*planted):
        return [contrasts.together(found)["B, depth head"].verdict for found in
                contrasts.interferes(gradients(*planted))]

    assert verdict((0.3, -0.3), (0.1, 0.1))[0] == SUPPORTED
    assert verdict((-0.3, 0.3), (0.1, 0.1))[0] == CONTRADICTED
    assert verdict((-0.5, -0.3), (0.1, 0.1))[0] == CONTRADICTED  # below 0, but less than at the pilot's
    assert verdict((0.1, 0.1), (0.4, 0.1))[1] == SUPPORTED and verdict((0.1, 0.1), (0.1, 0.4))[1] == CONTRADICTED
    _, less = contrasts.interferes(gradients((0, 0), (0.4, 0.1)))
    falls = less["norm ratio to the prediction's falls from pilot to full scale", "B, depth head"]
    assert falls.mean == pytest.approx(-2)


def test_what_was_not_measured_is_not_judged():
    """One scale only, no head at all, one seed."""
    columns = ["condition", "scale", "seed", "step", "head", "cosine", "ratio"]
    one = pd.DataFrame([("B", "full", s, 0, "depth", -0.5 - 0.01 * s, 0.1) for s in range(3)], columns=columns)
    interferes, less = contrasts.interferes(one)
    assert [f.verdict for f in (*interferes.values(), *less.values())] == [SUPPORTED, UNTESTED, UNTESTED]
    nothing, _ = contrasts.interferes(one[:0])
    assert nothing == {}
    assert contrasts.conclude({"interferes": nothing}) == "- interferes: not run: nothing to judge it by."
    assert contrasts.markdown(nothing).count("\n") == 1 and contrasts.undecided(nothing).startswith("Of the 0 ")
    single = table({("B", "a"): 1, ("B", "b"): 2}, n=1)
    found = contrasts.lost(single, {"up": ("a", "b")}, ["B"])
    assert [f.verdict for f in found.values()] == [UNDECIDED] and contrasts.lost(single, {"up": ("a", "b")}, []) == {}
    assert contrasts.effects(paired.summarise(single), ["a"]).loc["B", "a"].startswith("+")
    assert contrasts.effects(paired.summarise(single[:0]), ["a"]).empty


def test_noise_of_small_regions():
    areas, rng = np.array([0.01, 0.1]), np.random.default_rng(0)
    normal = pd.DataFrame([("compact", a, i, (0.1 / a) * (1 + 0.1 * rng.random()), a)  # the scale: the wrong way
                           for i in range(6) for a in areas], columns=["kind", "area", "episode", "shift", "scale"])
    gradient = pd.DataFrame([("compact", a, i, how, noise * (1 + 0.1 * rng.random())) for i in range(6) for a in areas
                             for how, noise in (("region", 8 if a < 0.05 else 1), ("frame", 2))],
                            columns=["kind", "area", "episode", "normalised", "over_draws"])
    gradient.loc[0, "over_draws"] = np.inf
    shift, scale, excess = contrasts.unstable(normal, gradient, 0.01).values()
    assert (shift.verdict, scale.verdict, excess.verdict) == (SUPPORTED, CONTRADICTED, SUPPORTED)
    assert shift.mean == pytest.approx(-1, abs=0.1) and scale.mean == pytest.approx(1)
    assert excess.mean == pytest.approx(2, abs=0.2) and excess.n == 5
    *_, drowned = contrasts.unstable(normal, gradient.assign(over_draws=np.inf), 0.01).values()
    assert drowned.verdict == UNTESTED and "noise" in drowned.reason
    frame_is_noise = gradient.over_draws.where(gradient.normalised != "frame", np.inf)
    *_, halved = contrasts.unstable(normal, gradient.assign(over_draws=frame_is_noise), 0.01).values()
    assert halved.verdict == UNTESTED


def test_masks_whose_normalisation_or_place_matters():
    names, areas = ("C1", "C2", "C3"), {"C1": 0.02, "C2": 0.04, "C3": 0.08}
    controls = [{c: f"{c}-{kind}" for c in names} for kind in ("ff", "rnd")]
    sick = {("B", "pilot"): -10} | {(c, "pilot"): -2 * i for i, c in enumerate(names)}
    healed = {(f"{c}-ff", "pilot"): -9 for c in names} | {(f"{c}-rnd", "pilot"): -2 * i for i, c in enumerate(names)}
    effect, place = contrasts.unhelpful(table(sick | healed), areas, *controls)
    assert [f.verdict for f in (*effect.values(), *place.values())] == [SUPPORTED] * 4
    slope, best, repair = effect.values()
    assert slope.mean == pytest.approx(-2, abs=0.2) and best.mean == pytest.approx(-10, abs=0.3)
    assert repair.mean == pytest.approx(-7, abs=0.3)
    turned = {("B", "pilot"): 0} | {(c, "pilot"): -6 + 2 * i for i, c in enumerate(names)}  # as in the paper's Figure 2
    same = {(f"{c}-{kind}", "pilot"): 3 for c in names for kind in ("ff", "rnd")}
    effect, place = contrasts.unhelpful(table(turned | same), areas, *controls)
    assert [f.verdict for f in (*effect.values(), *place.values())] == [CONTRADICTED] * 4
    effect, place = contrasts.unhelpful(table({("B", "pilot"): -10, ("C1", "pilot"): -2}), areas, *controls)
    assert [f.verdict for f in (*effect.values(), *place.values())] == [UNTESTED, SUPPORTED, UNTESTED, UNTESTED]
    assert [f.reason for f in effect.values()][0] == "C2, C3 not run"


def test_a_larger_weight_of_a_prior():
    rows = [("B", size, seed, w, sign * (1 + seed / 10) * np.log10(w)) for size, sign in (("full", 2), ("pilot", -3))
            for seed in range(4) for w in (0.01, 0.1, 1.0)]
    found = contrasts.stronger(pd.DataFrame(rows, columns=["condition", "size", "seed", "weight", "change"]))
    assert [says.split(":")[0] for says, _ in found] == ["pilot", "full"]
    assert [f.verdict for f in found.values()] == [SUPPORTED, SUPPORTED]
    assert [f.mean for f in found.values()] == pytest.approx([-3 * 1.15, 2 * 1.15])


def test_slopes_are_those_of_straight_lines():
    x = np.array([0.0, 1.0, 3.0])
    values = pd.DataFrame([2 * x + 1, -0.5 * x])
    assert contrasts.slopes(values, x) == pytest.approx([2, -0.5])
    assert np.isnan(contrasts.slopes(values[[0]], x[:1])).all()


def test_effects_and_reach_are_words_of_the_numbers(changes):
    summary = paired.summarise(changes)
    cells = contrasts.effects(summary, ["best few", "random many"])
    assert list(cells.index) == ["B", "D", "E"] and list(cells) == ["best few", "random many"]
    row = summary.query("condition == 'D' and scale == 'random many' and split == 'episode'").iloc[0]
    assert cells.loc["D", "random many"].startswith(paired.number(row["mean"], 2))
    said = contrasts.reach(changes)
    assert said.startswith("The changes scatter least for ") and "4 seeds detect" in said
    assert "scatter most for " in said
    assert "one seed" in contrasts.reach(table({("B", "a"): 1}, n=1)).lower()


def test_the_table_of_a_crossing_holds_what_is_drawn():
    sizes = {"few": 10, "many": 40}
    found = {"B": scaling.crossing(table({("B", "few"): -4, ("B", "many"): 4}), sizes, np.random.default_rng(0), "B")}
    rows = scaling.crossing_table(found)
    assert {"condition", "scale", "seed", "split", "metric", "value"} <= set(rows)
    value = rows.set_index("statistic").value
    assert value["crossing"] == found["B"].size == pytest.approx(20, rel=0.1)
    assert value["crossing low"] <= value["crossing"] <= value["crossing high"]
    band = rows[rows.statistic == "band low"]
    np.testing.assert_array_equal(band.value, found["B"].band.low)
    assert band.episodes.min() == 10 and band.episodes.max() == pytest.approx(40)
