"""The controls: chosen episodes, exact steps, evals and probes that disturb nothing, and the table of runs."""

from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from lewm_core import dataset
from lewm_core.conditions import (
    CONDITIONS,
    CONTROLS,
    FULL_FRAME,
    PATCH_HEAD,
    PATCH_PREDICTOR,
    RANDOM,
    condition,
    in_order,
)
from lewm_core.config import BATCH_NORM, MODELS, Recipe
from lewm_core.dataset import windows
from lewm_core.diagnostics import leakage
from lewm_core.experiments import controls, sweep
from lewm_core.experiments.controls import PROTOCOL_ARMS, plan
from lewm_core.experiments.draws import DrawSizes, draw
from lewm_core.experiments.gradients import probe
from lewm_core.experiments.pool import PRESETS, Sizes, choose, training_set
from lewm_core.experiments.run import Run, execute
from lewm_core.experiments.sets import Sets
from lewm_core.experiments.sweep import curves
from lewm_core.model import LeWM
from lewm_core.train import evenly, split_of, steps_of, train
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import Workspace
from tests.helpers import TINY, random_base, write_squares

NANO = MODELS["nano"]
LENGTHS = (9, 7, 8, 9, 10, 8, 10, 9)  # of any two one is long enough for a block

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares.h5", LENGTHS)


@pytest.fixture(scope="module")
def data(path):
    return dataset.load(path)


def run(data, name="A", recipe=TINY, seed=0, **options):
    return train(LeWM(NANO, seed=9), condition(name), data, recipe, seed, **options)


def weights(outcome):
    return {**outcome.model.state_dict(), **{f"head.{k}": v for k, v in outcome.heads.state_dict().items()}}


def same_weights(a, b):
    return all(torch.equal(v, weights(b)[n]) for n, v in weights(a).items())


# --- chosen episodes


def test_a_selection_is_the_episodes_asked_for_in_that_order(data):
    chosen = data.select(["square4", "square1"])
    assert chosen["episode_id"].tolist() == ["square4", "square1"] and chosen["ep_len"].tolist() == [10, 7]
    assert chosen["ep_offset"].tolist() == [0, 10] and chosen["ep_offset"].dtype == np.int64
    for new, old in ((0, 4), (1, 1)):
        for name, column in dataset.COLUMNS.items():
            if column.axis == "N" and column.dtype != "str" and name in data.columns:
                np.testing.assert_array_equal(chosen[name][chosen.episode(new)], data[name][data.episode(old)])
    assert chosen.made == data.made
    selections = (["square4", "square1"], ["square1", "square4"], ["square4"])
    prints = [data.select(ids).fingerprint for ids in selections]
    assert len({data.fingerprint, *prints}) == 4 and prints == [data.fingerprint_of(ids) for ids in selections]
    for wrong in (["square1", "nobody"], ["square1", "square1"], []):
        with pytest.raises(InputError, match="episodes"):
            data.select(wrong)


def test_the_test_episodes_judge_and_never_teach(data):
    test = ["square2", "square5"]
    numbers = {2, 5}
    owner = np.repeat(np.arange(len(LENGTHS)), data["ep_len"])
    for seed in range(5):
        split = split_of(data, TINY, seed, test)
        taught = set(owner[np.unique(windows(np.r_[split.train, split.val["window"]]))])
        assert taught == set(range(len(LENGTHS))) - numbers
        assert set(owner[windows(split.val["episode"]).ravel()]) == numbers
        assert len(split.val["episode"]) == sum(LENGTHS[i] - 3 for i in numbers)  # all of their windows
        drawn = split_of(data.select([f"square{i}" for i in range(8) if i not in numbers]), TINY, seed)
        assert set(drawn.val) == set(split.val)
    with pytest.raises(InputError, match="disjoint"):
        Run("A", "x", 0, "a.h5", "print", random_base(), TINY, ("square1", "square2"), ("square2",))


def test_episodes_and_test_set_name_a_run(data, path):
    base = Run("A", "x", 0, str(path), data.fingerprint, random_base(), TINY)

    def of(episodes, test):
        return replace(base, episodes=episodes, test=test, fingerprint=data.fingerprint_of([*episodes, *(test or ())]))

    others = [base, of(("square1", "square2"), None), replace(base, test=("square3",)),
              of(("square1", "square2"), ("square3",)), of(("square1", "square4"), ("square3",)),
              of(("square1",), ("square2", "square3")),
              replace(base, recipe=replace(TINY, steps=3)), replace(base, recipe=replace(TINY, n_evals=1))]
    assert len({r.key for r in others}) == len(others)


# --- steps, evals, probes


def test_exactly_so_many_steps_and_the_schedule_spans_them(data):
    per_epoch = run(data, recipe=replace(TINY, epochs=1)).steps
    for steps in (1, per_epoch, per_epoch + 1, 3 * per_epoch - 1):
        seen = []
        outcome = run(data, recipe=replace(TINY, steps=steps, epochs=99), on_step=lambda *a, seen=seen: seen.append(a))
        assert outcome.steps == len(seen) == steps and [s[:2] for s in seen] == [(i + 1, steps) for i in range(steps)]
        assert [p["step"] for p in outcome.curve] == [*range(per_epoch, steps, per_epoch), steps]
        last = outcome.curve[-1]
        mean = np.mean([terms["pred"] for s, _, terms in seen if s > steps - (steps - 1) % per_epoch - 1])
        assert last["pred"] == pytest.approx(mean)
    whole = run(data, recipe=replace(TINY, epochs=2))
    assert same_weights(whole, run(data, recipe=replace(TINY, steps=2 * per_epoch)))  # epochs and steps agree
    for wrong in ({"steps": 0}, {"n_evals": -1}, {"grad_probes": -1}):
        with pytest.raises(InputError, match="recipe"):
            replace(TINY, **wrong)


def test_evals_and_probes_are_where_they_should_be_and_disturb_nothing(data):
    plain = run(data, "E")
    outcome = run(data, "E", replace(TINY, n_evals=3, grad_probes=4), probe=probe)
    assert same_weights(plain, outcome) and plain.metrics == outcome.metrics and plain.curve == outcome.curve
    assert not plain.evals and not plain.grad_probes
    steps = outcome.steps
    assert sorted({c["step"] for c in outcome.evals}) == [0, round(steps / 2), steps]
    assert [c["split"] for c in outcome.evals] == ["window", "episode"] * 3
    end = {c["split"]: {k: v for k, v in c.items() if k not in ("step", "split")} for c in outcome.evals[-2:]}
    assert all(end[split].items() <= found.items() for split, found in outcome.metrics.items())
    start = run(data, "E", replace(TINY, lr=0.0, steps=1, n_evals=2, directions=16)).evals
    assert start[1]["mse"] == outcome.evals[1]["mse"]  # before any step: what the base scores
    assert sorted({p["step"] for p in outcome.grad_probes}) == sorted(evenly(4, steps - 1))
    assert {p["term"] for p in outcome.grad_probes} == {"sigreg", "head_depth", "head_tracks"}
    assert evenly(1, 7) == {7} and evenly(0, 7) == set() and evenly(3, 8) == {0, 4, 8} and evenly(9, 1) == {0, 1}


# --- the table of runs


SMALL = Sizes((2, 4), (2, 1), test=2, weights=(0.1, 1.0), n_evals=2, grad_probes=1, targets=("B-50", "D-raw"), norms=2)
OF_THE_MAIN_STUDY = ("protocol", "targets", "batch_norm")  # on its episodes, by its recipe


@pytest.fixture(scope="module")
def pool():
    scores = pd.DataFrame({"episode": [f"square{i}" for i in range(8)] + ["rejected"],
                           "score": [0.1, 0.8, 0.3, 0.9, 0.5, 0.7, 0.2, 0.6, np.nan]})
    return choose(scores, SMALL, np.random.default_rng(1))


@pytest.fixture(scope="module")
def known(pool):
    """The main study has the best two and four."""
    best = pool[pool.best > 0].sort_values("best")
    selection = best.assign(pilot=best.best <= 2, full=True)
    return Sets.of(selection, draw([], DrawSizes(0, 1, 1, 1)), pool)


def test_the_pool_has_a_test_set_the_best_and_a_random_sample(pool):
    scores = pd.DataFrame({"episode": [f"e{i:03}" for i in range(300)], "score": np.random.default_rng(0).random(300)})
    sizes = Sizes((10, 50), (1, 1), test=60)
    table = choose(scores, sizes, np.random.default_rng(3))
    assert table.test.sum() == 60 and sorted(table.best[table.best > 0]) == sorted(table["random"][table["random"] > 0])
    assert not (table.test & ((table.best > 0) | (table["random"] > 0))).any()
    rest = scores[~scores.episode.isin(table.episode[table.test])].nlargest(50, "score")
    assert table[table.best > 0].sort_values("best").episode.tolist() == rest.episode.tolist()
    assert ((table.best > 0) & (table["random"] > 0)).any()  # a random sample is of all, the best among them
    for part in (table.test, table["random"] > 0):  # neither is a biased sample
        assert abs(table.score[part].mean() - 0.5) < 4 * 0.29 / np.sqrt(part.sum())
    assert "rejected" not in set(pool.episode)
    with pytest.raises(InputError, match="8 scored episodes.*n_candidates"):
        choose(pd.DataFrame({"episode": list("abcdefgh"), "score": np.ones(8)}), sizes, np.random.default_rng(0))


def test_training_sets_are_nested_and_random_ones_differ_by_seed(pool):
    for selection in ("best", "random"):
        small, large = (training_set(pool, selection, n, 0) for n in (2, 4))
        assert small == large[:2]
    assert training_set(pool, "best", 4, 0) == training_set(pool, "best", 4, 5)
    assert len({training_set(pool, "random", 2, seed) for seed in range(12)}) > 1
    with pytest.raises(InputError, match="at least 9"):
        training_set(pool, "best", 9, 0)


def test_every_question_has_its_runs_paired_and_shared(pool, known, path):
    planned, skipped = plan(controls.STUDIES, SMALL, known, path, random_base(), TINY)
    assert set(skipped.condition) <= {"P", "P-detached"} and {c.study for c in planned} == set(controls.STUDIES)
    test = tuple(pool.episode[pool.test])
    pairs = {}
    for c in planned:
        if c.study in OF_THE_MAIN_STUDY:
            continue
        assert c.run.test == test and not set(test) & set(c.run.episodes)
        watched = c.selection == "best" and c.run.condition in controls.MAIN
        assert (c.run.recipe.n_evals, c.run.recipe.grad_probes) == ((2, 1) if watched else (0, 0))
        pairs.setdefault((c.study, c.run.scale, c.run.seed), []).append(c.run)
    for (study, arm, seed), runs in pairs.items():
        names = [r.condition for r in runs]
        assert len(set(names)) == len(names), (study, arm, seed)
        assert {condition(n).baseline for n in names} | {"base"} <= set(names)
        assert len({(r.episodes, r.recipe.steps) for r in runs if r.condition != "base"}) == 1
    by = lambda study, arm, name: {c.run.key for c in planned if (c.study, c.run.scale, c.run.condition)  # noqa: E731
                                   == (study, arm, name)}
    assert by("scale", "best 2", "B") == by("steps", "pilot set, its own steps", "B") == by("conflict", "pilot", "B") \
        == by("masks", "pilot", "B") == by("patches", "pilot", "B") == by("weight", "pilot, weight 0.1", "B")
    assert by("weight", "pilot, weight 1", "A") == by("weight", "pilot, weight 0.1", "A")
    assert by("weight", "pilot, weight 1", "B") != by("weight", "pilot, weight 0.1", "B")
    assert by("steps", "pilot set, the full set's steps", "base") == by("weight", "pilot, weight 1", "base")
    unique = {c.run.key for c in planned if c.study not in OF_THE_MAIN_STUDY and c.run.condition != "base"}
    # 2×2 of four conditions; crossed steps of three; masks; patches; one other weight of B and D; three with blocks
    # held out (2 seeds, of the full set 1)
    assert len(unique) == 2 * 4 * (2 + 1) + 3 * (2 + 1) + 10 * 2 + 5 * (2 + 1) + 2 * (2 + 1) + 3 * (2 + 1)
    studied = (FULL_FRAME, RANDOM, PATCH_HEAD, PATCH_PREDICTOR)
    varied = {name for name, row in CONTROLS.items() if row.variant in studied}
    assert {c.run.condition for c in planned} >= varied | {"A", "B", "C1", "C4", "D", "E"}


def test_the_papers_recipe_stands_beside_the_main_studys_own_runs(known, path):
    """With steps fixed, equal at both sizes; with the paper's learning rate and epochs, coupled to the data's size."""
    main = replace(TINY, steps=7, lr=3e-3, batch_norm="frozen", batch_size=4)
    planned, _ = plan(["protocol"], SMALL, known, path, random_base(), main)
    assert list(dict.fromkeys(c.run.scale for c in planned)) == list(PROTOCOL_ARMS)
    data = dataset.load(path)
    for scale, n in (("pilot", 2), ("full", 4)):
        runs, _ = sweep.plan(controls.TWINNED, scale, range(1), path, random_base(), main, partial(known.of_run, scale))
        own = [c.run for c in planned if c.run.scale == scale and c.run.seed == 0]
        assert [r.key for r in own] == [r.key for r in runs] and {len(r.episodes) for r in own} == {n}
        assert {"A", "B", "B-shuf", "base", "lr-0"} <= {r.condition for r in own}
        papers = [c.run for c in planned if c.run.scale == f"{scale}, the paper's recipe"]
        assert {(r.recipe.steps, r.recipe.lr, r.recipe.batch_norm, r.recipe.epochs) for r in papers
                if r.condition != "base"} == {(None, 5e-5, "paper", TINY.epochs)}
        assert {r.key for r in papers if r.condition == "base"} == {
            c.run.key for c in planned if c.run.scale == scale and c.run.condition == "base"}  # evaluated once
    steps = [steps_of(split_of(r.choose(data), r.recipe, 0), r.recipe) for r in
             (next(c.run for c in planned if c.run.scale == arm) for arm in PROTOCOL_ARMS)]
    assert steps[0] == steps[2] == 7 and steps[1] < steps[3]


def test_the_kinds_of_target_stand_beside_the_main_studys_own_runs(known, path):
    main = replace(TINY, steps=7, lr=3e-3, batch_norm="frozen")
    planned, _ = plan(["targets"], SMALL, known, path, random_base(), main)
    assert {c.run.scale for c in planned} == {"full"} and {c.run.seed for c in planned} == {0}
    runs, _ = sweep.plan(["A", "B", "B-shuf", "D", "D-shuf", "P", "base", "lr-0"], "full", range(1), path,
                         random_base(), main, partial(known.of_run, "full"))
    more = {c.run.condition: c.run.key for c in planned if c.run.key not in {r.key for r in runs}}
    assert {r.key for r in runs} <= {c.run.key for c in planned} and set(more) == {"B-50", "D-raw"}
    assert len({c.run.episodes for c in planned}) == 1 and {c.run.recipe for c in planned} == {main}


def test_the_largest_profile_has_every_kind_of_target_and_the_small_ones_a_few():
    kinds = {"B-other", "B-noise", "B-net", "B-detached", "P-detached", "D-detached", "B-25", "B-50", "D-25", "D-50",
             "D-other", "D-noise", "D-net", "D-raw"}
    assert set(PRESETS["paper"].targets) == kinds > set(PRESETS["laptop"].targets) > {"B-net", "P-detached"}
    assert all(len(PRESETS[name].targets) <= 3 and set(PRESETS[name].targets) < kinds for name in ("smoke", "quick"))


def test_each_way_of_batch_normalisation_and_the_main_studys_own(known, path):
    main = replace(TINY, steps=7, lr=3e-3, batch_norm="recalibrated")
    planned, _ = plan(["batch_norm"], SMALL, known, path, random_base(), main)
    ways = {(c.run.scale, c.run.condition, c.run.seed): c.run for c in planned}
    assert set(ways) == {(way, name, seed) for way in BATCH_NORM for name in ("A", "base", "lr-0") for seed in (0, 1)}
    assert all(run.recipe == replace(main, batch_norm=way) for (way, name, _), run in ways.items() if name != "base")
    keys = {name: len({ways[way, name, 0].key for way in BATCH_NORM}) for name in ("A", "base", "lr-0")}
    assert keys == {"A": 3, "base": 1, "lr-0": 3}
    runs, _ = sweep.plan(["A", "base", "lr-0"], "full", range(1), path, random_base(), main,
                         partial(known.of_run, "full"))
    assert [r.key for r in runs] == [ways["recalibrated", name, 0].key for name in ("A", "base", "lr-0")]


def test_references_are_in_every_arm_that_asks_for_them(known, path):
    every = replace(SMALL, references=("base", "lr-0", "P"))
    planned, skipped = plan(["weight"], every, known, path, random_base(), TINY)
    assert {c.run.condition for c in planned} | set(skipped.condition) == {"A", "B", "D", "base", "lr-0", "P"}
    for name in ("base", "lr-0", "P"):  # the loss's weight is nothing to them
        assert len({c.run.key for c in planned if c.run.condition == name}) in (0, 2 + 1)


def test_the_protocol_takes_each_seeds_own_draw(pool, path):
    names = [f"square{i}" for i in range(8)]
    drawn = draw(names, DrawSizes(test=2, full=4, pilot=2, seeds=2))
    known = Sets.of(pd.DataFrame({"episode": names, "pilot": True, "full": True}), drawn, pool)
    planned, _ = plan(["protocol"], SMALL, known, path, random_base(), TINY)
    for c in planned:
        own = known.of_run(c.run.scale.split(",")[0], c.run.seed)
        assert (c.run.episodes, c.run.test) == (own.train, own.test)


def test_crossed_steps_are_the_other_sets_own(known, path, tmp_path):
    planned, _ = plan(["steps"], SMALL, known, path, random_base(), replace(TINY, epochs=1))
    runs = {c.run.scale: c.run for c in planned if c.run.condition == "A" and c.run.seed == 0}
    for r in runs.values():
        execute(r, tmp_path)
    table = controls.results([c for c in planned if c.run in runs.values()], tmp_path)
    took = table.groupby("arm").steps.first()
    assert took["pilot set, its own steps"] == took["full set, the pilot set's steps"]
    assert took["full set, its own steps"] == took["pilot set, the full set's steps"] > took["pilot set, its own steps"]
    assert set(table.columns) == {"study", "arm", "selection", "episodes", "steps", "head_weight", "condition", "scale",
                                  "seed", "split", "metric", "value", "run"}
    assert (table.arm == table.scale).all() and set(table.episodes) == {2, 4}
    evals, probes = (curves(table, tmp_path, part) for part in ("evals", "grad_probes"))
    assert evals.groupby("scale").step.unique().map(list).to_dict() == {a: [0, took[a]] for a in took.index}
    assert probes.cosine.between(-1, 1).all() and set(probes.term) == {"sigreg"}
    along = controls.along_training(table, tmp_path)
    assert set(along.metric) == {"mse"} and along.set_index(["scale", "step"]).value.to_dict() == evals[
        evals.split == "episode"].set_index(["scale", "step"]).mse.to_dict()


def test_blocks_of_training_episodes_are_judged_without_a_shared_frame(known, path, tmp_path):
    planned, _ = plan(["blocks"], SMALL, known, path, random_base(), replace(TINY, epochs=1))
    assert {c.run.condition for c in planned} == {*SMALL.blocks, "base"}
    assert {c.selection for c in planned} == {"random"}
    runs = [c for c in planned if c.run.scale.startswith("full") and c.run.condition == "A"]
    execute(runs[0].run, tmp_path)
    table = controls.results(runs, tmp_path)
    leak = leakage.leak_table(table, tmp_path, dataset.load(path), random_base())
    shared = leak.groupby("split").shared.max()
    assert shared["block"] == shared["episode"] == 0 < shared["window"]
    found = leakage.leak_summary(leak).query("condition == 'A'").set_index("measure")["mean"]
    mse = leak[leak.condition == "A"].groupby("split").mse.mean()
    assert found["gap_block"] == pytest.approx(100 * (mse["block"] / mse["window"] - 1), abs=1e-3)
    assert found["seen_block"] == 0 and np.isfinite(found["leak_block"])
    assert "share no frame" in leakage.describe_leak(leakage.leak_summary(leak))[0]
    alone, _ = plan(["blocks"], replace(SMALL, blocks=("A",)), known, path, random_base(), replace(TINY, epochs=1))
    assert {c.run.key for c in alone} == {c.run.key for c in planned if c.run.condition in ("A", "base")}


def test_episodes_too_short_for_a_block_are_refused_before_training(known, tmp_path):
    short = write_squares(tmp_path / "short.h5", (7,) * 8)
    with pytest.raises(InputError, match="0 block"):
        plan(["blocks"], SMALL, known, short, random_base(), TINY)
    assert plan(["scale"], SMALL, known, short, random_base(), TINY)[0]


def test_gradients_and_learning_curves_of_finished_runs(known, path, tmp_path):
    """Through the files that a notebook has: the pool, the dataset, the runs."""
    workspace = Workspace(tmp_path, tmp_path / "figures")
    with pytest.raises(InputError, match="--only 02"):
        controls.of_run(workspace, "smoke", random_base(), TINY)
    workspace.dataset_file.symlink_to(path)
    known.write(workspace)
    with pytest.raises(InputError, match="one of smoke, quick, laptop, paper"):
        controls.of_run(workspace, "mine", random_base(), TINY)
    planned, _ = plan(["conflict"], SMALL, Sets.read(workspace), path, random_base(), TINY)
    some = [c for c in planned if c.run.condition in "AE" and c.run.scale == "pilot" and c.run.seed == 0]
    for c in some:
        execute(c.run, workspace.runs)
    table = controls.results(some, workspace.runs)
    found = controls.gradients(table, workspace.runs)
    assert set(found["head"]) == {"depth", "tracks"} and set(found.condition) == {"E"} and set(found.scale) == {"pilot"}
    assert {"scale", "condition", "seed", "step", "head", "cosine", "ratio", "norm", "norm_to"} == set(found)
    assert found.ratio.to_numpy() == pytest.approx((found.norm / found.norm_to).to_numpy())
    along = controls.along_training(table, workspace.runs)
    ends = along[along.step == along.step.max()].set_index("condition")
    mse = table[(table.metric == "mse") & (table.split == "episode")].set_index("condition").value
    assert ends.value["A"] == mse["A"] and ends.metric.to_dict() == {"A": "mse", "E": "mse change %"}
    assert ends.value["E"] == pytest.approx(100 * (mse["E"] / mse["A"] - 1))


def test_conditions_without_their_signals_are_left_out_with_the_reason(known, tmp_path):
    few = write_squares(tmp_path / "few.h5", LENGTHS, depth="Depth needs weights.")
    planned, skipped = plan(["masks", "patches"], SMALL, known, few, random_base(), TINY)
    assert {c.run.condition for c in planned} == {"A", "D", "D-patch", "A-pp", "D-pp", "base"}
    assert set(skipped.condition) == set(controls.MASKED + controls.PATCHED) - {c.run.condition for c in planned}
    assert skipped.reason.str.contains("Depth needs weights").all()


def test_bad_studies_and_sizes():
    with pytest.raises(InputError, match="one of scale, steps"):
        plan(["scaling"], SMALL, None, "a.h5", random_base(), TINY)
    for episodes, seeds in (((5,), (1,)), ((5, 3), (1, 1)), ((3, 5), (1,)), ((3, 5), (0, 1))):
        with pytest.raises(InputError, match="growing sizes"):
            Sizes(episodes, seeds, 2)


def test_the_main_study_keeps_its_conditions():
    assert not set(CONDITIONS) & set(CONTROLS)
    assert in_order([*CONTROLS, *reversed(CONDITIONS)]) == [*CONDITIONS, *CONTROLS]  # the paper's come first
    assert sweep.condition is condition and all(condition(c).name == c for c in CONTROLS)
    assert asdict(Recipe())["steps"] is None and Recipe().n_evals == Recipe().grad_probes == 0
