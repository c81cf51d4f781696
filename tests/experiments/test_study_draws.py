"""A study whose seeds draw their own episodes, from the curation to what reads its finished runs; nano, simulated."""

import numpy as np
import pandas as pd
import pytest

from lewm_core.config import Recipe
from lewm_core.curation.curate import curate
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import Choice
from lewm_core.diagnostics import capacity, leakage, metrics, probe_study, rollout_study
from lewm_core.diagnostics.probes import held_out, token_features
from lewm_core.experiments import attempts
from lewm_core.experiments.draws import DrawSizes
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.study import Study
from lewm_core.utils.errors import InputError
from tests.helpers import random_base
from tests.notebooks.cells import InProcess

SIZES = DrawSizes(test=3, full=4, pilot=2, seeds=2)
RECIPE = Recipe(steps=3, batch_size=8, directions=16, lr=1e-3)
CONDITIONS = ["base", "lr-0", "A", "D", "B-shuf", "P"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = Study(folder, folder / "figures", "smoke", "tabletop")
    spec = SourceSpec("tabletop", 14, 0, 32, looks=1)
    curate(spec, study.workspace, Criteria(min_length=8), Choice(14, 4, 2), 0.05, False, jobs=1)
    study.write_dataset(False, SIZES, jobs=1)
    return study


@pytest.fixture(scope="module")
def results(study):
    with pytest.MonkeyPatch.context() as m:
        m.setattr(attempts, "opened", InProcess)
        for scale in ("pilot", "full"):
            study.run(CONDITIONS, scale, range(2), random_base(), RECIPE, jobs=1)
    return {scale: study.results(scale) for scale in ("pilot", "full")}


def test_every_run_had_its_seeds_draw_and_equal_steps(study, results):
    for scale, n in (("pilot", 2), ("full", 4)):
        assert set(results[scale].condition) == set(CONDITIONS) and study.skipped(scale).empty
        for row in results[scale].drop_duplicates("run").itertuples():
            record, own = study.record(row.run), study.sets.of_run(scale, row.seed)
            assert tuple(record["episodes"]) == own.train and tuple(record["test"]) == own.test
            assert len(own.train) == n and record["steps"] == (0 if row.condition == "base" else 3)
            assert study.data(scale, row.seed)["episode_id"].tolist() == own.all
        sizes = study.sizes(scale, results[scale])
        assert sizes["episodes"] == n and sizes["optimizer steps"] == 3 and sizes["seeds"] == 2
        assert sizes["frames"] == np.mean([study.frames[list(study.sets.of_run(scale, s).train)].sum() for s in (0, 1)])
    assert study.sets.of_run("pilot", 0).test != study.sets.of_run("pilot", 1).test
    assert study.about("full", results["full"])["fingerprint"] == study.data("full").fingerprint


def test_what_reads_finished_runs_takes_what_each_had(study, results):
    full = results["full"]
    table = metrics.metric_table(full[full.condition.isin(["A", "P"])], study.runs, study.everything, random_base())
    assert set(table.seed) == {0, 1} and np.isfinite(table.value).all()
    leak = leakage.leak_table(full, study.runs, study.everything, random_base())
    assert (leak[leak.split == "episode"].shared == 0).all()
    mse = full.query("condition == 'A' and metric == 'mse'").set_index(["seed", "split"]).value
    found = leak[leak.condition == "A"].groupby(["seed", "split"]).mse.mean()
    assert found.to_dict() == pytest.approx(mse.to_dict(), rel=1e-4)
    floors = capacity.head_floors(full[full.condition == "D"], study.runs, study.everything)
    assert floors.seed.tolist() == [0, 1] and floors["training mean"].nunique() == 2


def test_probes_and_rollouts_judge_by_the_test_episodes(study, results):
    seeds = (0, 1)
    own = {seed: study.data("full", seed) for seed in seeds}
    held = {s: held_out(own[s], s, RECIPE, study.sets.of_run("full", s).test) for s in seeds}
    assert all(set(own[s]["episode_id"][held[s]]) == set(study.sets.of_run("full", s).test) for s in seeds)
    models = {s: study.model(results["full"], "A", s) for s in seeds}
    features = {("A", s): token_features(models[s][0], own[s]) for s in seeds}
    assert set(probe_study.probe_first_frame(features, own, held).seed) == set(seeds)
    worlds = rollout_study.encode({"A": models[1]}, own[1])
    rollouts = rollout_study.roll_out(worlds, own[1], "full", 1, RECIPE, 3, 5, study.sets.of_run("full", 1).test)
    assert {rollouts.ids[episode] for episode, _ in rollouts.starts} == set(study.sets.of_run("full", 1).test)


def test_another_draw_makes_the_runs_stale_and_no_draw_the_old_protocol(study, results):
    study.write_dataset(False, DrawSizes(test=3, full=5, pilot=3, seeds=2), jobs=1)
    for scale in ("pilot", "full"):
        with pytest.raises(InputError, match="12 of 12 runs on other data"):
            study.results(scale)
    study.write_dataset(False, DrawSizes(0, 4, 2, 2), jobs=1)
    flags = study.selection
    assert list(study.sets.of_run("full", 1).train) == flags.episode[flags.full].tolist()
    assert study.sets.of_run("full", 1).test is None and study.data("full", 1) is study.data("full", 0)
    study.write_dataset(False, SIZES, jobs=1)
    pd.testing.assert_frame_equal(study.results("pilot"), results["pilot"])
