"""Sweeps: what is planned, what names a run, that finished work is kept and unfinished work is never counted."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint
from lewm_core.conditions import CONDITIONS, condition
from lewm_core.config import MODELS
from lewm_core.dataset import windows
from lewm_core.dataset.frames import Frames
from lewm_core.evaluate import evaluate
from lewm_core.experiments import attempts as module
from lewm_core.experiments import run as run_module
from lewm_core.experiments.base import Base
from lewm_core.experiments.draws import Episodes
from lewm_core.experiments.evaluate import evaluate_checkpoint
from lewm_core.experiments.run import Run, execute, is_done, result
from lewm_core.experiments.sweep import check_fresh, curves, load_model, placed, plan, rows, sweep
from lewm_core.model import LeWM
from lewm_core.train import split_of, train
from lewm_core.utils import executors
from lewm_core.utils.errors import InputError
from lewm_core.utils.sealed import DamageWarning
from lewm_core.utils.workers import Lost, Unusable
from tests.helpers import TINY, random_base, write_squares
from tests.notebooks.cells import InProcess

BASE = random_base()
QUICK = replace(TINY, epochs=1)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_squares(tmp_path_factory.mktemp("data") / "squares.h5")


class Recording(InProcess):
    """In place of workers: the same runs, at once, in this process. `executed` lists their keys."""

    executed: list[str] = []

    def map(self, function, items, **options):
        for run, outcome in super().map(function, items, **options):
            self.executed.append(run.key)
            yield run, outcome


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(module, "opened", Recording)
    monkeypatch.setattr(Recording, "executed", [])
    return Recording.executed


def only(names):
    """Every seed has these episodes and holds some of them out."""
    return lambda seed: Episodes(tuple(names))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
            for p in sorted(folder.rglob("*")) if p.is_file()}


# --- planning


def test_every_condition_and_seed_is_a_run(squares):
    runs, skipped = plan(list(CONDITIONS), "pilot", [0, 1], squares, BASE, QUICK)
    assert [(r.seed, r.condition) for r in runs] == [(s, c) for s in (0, 1) for c in CONDITIONS]
    assert skipped.empty and list(skipped.columns) == ["condition", "scale", "reason"]
    assert len({r.key for r in runs}) == len(runs)


def test_conditions_without_their_signals_are_skipped_with_the_reason(tmp_path):
    path = write_squares(tmp_path / "few.h5", depth="Depth needs weights.", centroid="No depth, no centroid.")
    runs, skipped = plan(list(CONDITIONS), "pilot", [3], path, BASE, QUICK)
    assert [r.condition for r in runs] == ["A", "D", "D-fg", "G"]
    reasons = skipped.set_index("condition")["reason"]
    assert list(reasons.index) == ["B", "C1", "C2", "C3", "C4", "E", "F"]
    assert all("Depth needs weights." in reasons[c] for c in ("B", "C1", "C4", "E"))
    assert "No depth, no centroid." in reasons["F"] and set(skipped["scale"]) == {"pilot"}


def test_bad_plans_fail_before_any_work(squares, tmp_path):
    with pytest.raises(InputError, match="condition: found 'H'.*A, B, C1"):
        plan(["A", "H"], "pilot", [0], tmp_path / "not even read.h5", BASE, QUICK)
    for conditions, seeds in ((["A"], []), ([], [0])):
        with pytest.raises(InputError, match="sweep"):
            plan(conditions, "pilot", seeds, squares, BASE, QUICK)
    with pytest.raises(InputError, match="absent"):
        plan(["A"], "pilot", [0], tmp_path / "absent.h5", BASE, QUICK)
    with pytest.raises(InputError, match="split: found 0 training windows"):
        plan(["A"], "pilot", [0], write_squares(tmp_path / "short.h5", [3, 3]), BASE, QUICK)
    with pytest.raises(InputError, match="patches of 14 do not tile"):
        plan(["A"], "pilot", [0], squares, random_base("paper"), QUICK)


def test_a_run_is_named_by_all_that_decides_its_outcome(tmp_path):
    run = Run("B", "pilot", 0, "a.h5", "print", BASE, TINY)
    weights = Base("tabletop play", "nano", tmp_path / "w.safetensors", "hash")
    other = [
        replace(run, condition="C1"), replace(run, seed=1), replace(run, fingerprint="another"),
        replace(run, recipe=replace(TINY, lr=2e-3)), replace(run, recipe=replace(TINY, val_episodes=0.0)),
        replace(run, base=random_base("small")), replace(run, base=weights),
        replace(run, base=replace(weights, hash="other weights")), replace(run, base=weights, seed=1),
    ]
    assert len({run.key, *(r.key for r in other)}) == 1 + len(other)
    for same in (replace(run), replace(run, scale="full"), replace(run, dataset="moved/a.h5"),
                 replace(run, recipe=replace(TINY))):
        assert same.key == run.key
    moved = replace(weights, path=tmp_path / "elsewhere.safetensors")
    assert replace(run, base=moved).key == replace(run, base=weights).key


def test_a_run_is_named_by_the_device_of_the_place_where_it_is_done(monkeypatch, tmp_path):
    run = Run("B", "pilot", 0, "a.h5", "print", BASE, TINY)
    monkeypatch.setattr(run_module, "default_device", lambda: "cpu")
    monkeypatch.setattr(executors, "has_gpu", {"local": None, "ray": False, "slurm": True}.get)
    (here,), (cpu,), (gpu,) = (placed([run], on) for on in ("local", "ray", "slurm"))
    assert here == run and cpu.key == run.key and gpu.key != run.key
    with pytest.raises(Unusable, match="the device cpu; expected cuda"):
        module.attempt(gpu, tmp_path)
    monkeypatch.setattr(run_module, "default_device", lambda: "cuda")
    assert replace(run).key == gpu.key and not list(tmp_path.iterdir())


def test_a_process_whose_gpu_failed_does_no_other_run(monkeypatch, tmp_path):
    """What a failed recording leaves in the process's GPU made every later run of it fail, too."""
    run = replace(Run("B", "pilot", 0, "a.h5", "print", BASE, TINY), device="cuda")
    monkeypatch.setattr(module, "default_device", lambda: "cuda")
    monkeypatch.setattr(module, "_spoilt", False)
    left = []
    monkeypatch.setattr(module.os, "_exit", lambda code: left.append(code) or sys.exit(code))
    for error, ended in [(InputError("a.h5", "nothing", "a dataset"), []), (RuntimeError("no memory"), []),
                         (RuntimeError("never reached"), [1])]:
        monkeypatch.setattr(module, "execute", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(SystemExit if ended else type(error)):
            module.attempt(run, tmp_path)
        assert left == ended


def test_the_name_changes_with_the_code_and_the_row_of_the_table(monkeypatch):
    run = Run("B", "pilot", 0, "a.h5", "print", BASE, TINY)
    key = run.key
    with monkeypatch.context() as m:
        m.setattr(run_module, "code_digest", lambda *names: "other code")
        assert run.key == key  # named once: an edit while a sweep runs does not lose its runs
        assert replace(run).key != key
    monkeypatch.setitem(CONDITIONS, "B", replace(CONDITIONS["B"], terms=CONDITIONS["C2"].terms))
    assert replace(run).key != key


def test_labels_rename_no_run_and_what_decides_its_outcome_does(monkeypatch):
    run = Run("C2", "pilot", 0, "a.h5", "print", BASE, TINY)
    row, key = CONDITIONS["C2"], run.key
    for labels in ({"title": "another title"}, {"family": "another"}, {"control_of": "B", "variant": "its region"}):
        monkeypatch.setitem(CONDITIONS, "C2", replace(row, **labels))
        assert replace(run).key == key
    (term,) = row.terms
    for change in ({"dilation": 12}, {"inside_weight": 2.0}, {"random_placement": True}, {"head": "depth_patch"}):
        monkeypatch.setitem(CONDITIONS, "C2", replace(row, terms=(replace(term, **change),)))
        assert replace(run).key != key, change
    for change in ({"predictor": "patch"}, {"training": "lr 0"}):
        monkeypatch.setitem(CONDITIONS, "C2", replace(row, **change))
        assert replace(run).key != key, change


def test_named_episodes_of_a_file_are_a_file_of_their_own(tmp_path):
    """The same split, batches and numbers; what the file holds besides does not even rename the run."""
    lengths, chosen = (9, 7, 8, 6, 10, 8), ["square0", "square1", "square2", "square3"]
    large, own = write_squares(tmp_path / "large.h5", lengths), write_squares(tmp_path / "own.h5", lengths[:4])
    (theirs,), _ = plan(["C1-rnd"], "pilot", [3], own, BASE, QUICK)
    (mine,), _ = plan(["C1-rnd"], "pilot", [3], large, BASE, QUICK, episodes=only(chosen))
    assert mine.key == theirs.key and mine.fingerprint == theirs.fingerprint
    execute(mine, tmp_path / "mine")
    execute(theirs, tmp_path / "theirs")
    found, wanted = result(tmp_path / "mine", mine.key), result(tmp_path / "theirs", theirs.key)
    for part in ("metrics", "curve", "windows", "steps", "action_scale", "dataset"):
        assert found[part] == wanted[part], part
    (turned,), _ = plan(["C1-rnd"], "pilot", [3], large, BASE, QUICK, episodes=only(chosen[::-1]))
    assert turned.key != mine.key
    with pytest.raises(InputError, match="first: 'nobody'"):
        plan(["A"], "pilot", [0], large, BASE, QUICK, episodes=only(["square0", "nobody"]))


def test_results_of_other_data_are_refused_and_the_notebook_to_run_again_is_named(tmp_path):
    """An episode is unticked, the dataset made again, and a later notebook opened with the old results."""
    path, chosen = write_squares(tmp_path / "squares.h5"), [f"square{i}" for i in range(5)]
    data, runs = dataset.load(path), tmp_path / "runs"
    planned, _ = plan(["A"], "pilot", [0, 1], path, BASE, QUICK, episodes=only(chosen))
    results = pd.DataFrame([row for run in planned for row in rows(execute(run, runs), runs)])
    check_fresh(results, runs, data, "03_pilot_ablation", only(chosen))
    for other in (only(chosen[:4]), only([*chosen[1:], chosen[0]]), lambda seed: Episodes(tuple(chosen), ())):
        with pytest.raises(InputError, match="2 of 2 runs.*Run 03_pilot_ablation again: ./run_all.sh --only 03"):
            check_fresh(results, runs, data, "03_pilot_ablation", other)
    with pytest.raises(InputError, match="2 of 2 runs"):
        check_fresh(results, runs, data.select(chosen[:4]), "03_pilot_ablation", only(chosen))
    write_squares(path, (9, 7, 8, 6, 11))  # one episode has changed
    with pytest.raises(InputError, match="03_pilot_ablation"):
        check_fresh(results, runs, dataset.load(path), "03_pilot_ablation", only(chosen))
    with pytest.raises(InputError, match="03_pilot_ablation"):
        check_fresh(results, tmp_path / "another folder", data, "03_pilot_ablation")


def test_runs_that_name_their_test_episodes_are_fresh_while_these_and_their_own_are_unchanged(tmp_path):
    path, runs = write_squares(tmp_path / "squares.h5"), tmp_path / "runs"
    data, episodes, test = dataset.load(path), ("square0", "square1", "square2"), ("square3",)
    run = Run("A", "best 3", 0, str(path), data.fingerprint_of([*episodes, *test]), BASE, QUICK, episodes, test)
    results = pd.DataFrame(rows(execute(run, runs), runs))
    check_fresh(results, runs, data, "08_controls")
    check_fresh(results, runs, data.select([*test, *episodes]), "08_controls")
    with pytest.raises(InputError, match="1 of 1 runs.*08_controls"):
        check_fresh(results, runs, data.select(episodes), "08_controls")


def test_a_checkpoint_is_evaluated_on_what_it_held_out_of_a_larger_file(tmp_path):
    path = write_squares(tmp_path / "squares.h5", (9, 7, 8, 6, 10, 8))
    (run,), _ = plan(["E"], "pilot", [0], path, BASE, QUICK, 
                    episodes=only(["square5", "square1", "square2", "square3"]))
    execute(run, tmp_path / "runs")
    report = evaluate_checkpoint(str(tmp_path / "runs" / run.key), dataset.load(path))
    of_run = result(tmp_path / "runs", run.key)["metrics"]
    assert report["own_dataset"] and set(report["metrics"]) == set(of_run)
    assert all(found.items() <= of_run[split].items() for split, found in report["metrics"].items())


# --- sweeping (starting processes takes seconds, so one pool serves all of these)


@pytest.fixture(scope="module")
def swept(squares, tmp_path_factory):
    """Four runs done by a pool of two processes, and a fifth among them that fails."""
    folder = tmp_path_factory.mktemp("runs")
    runs, _ = plan(["A", "E"], "pilot", [0, 1], squares, BASE, TINY)
    lost = replace(runs[0], base=Base("lost", "nano", folder / "lost.safetensors", "hash"))
    with pytest.raises(InputError, match="lost.safetensors: .*no such file"):
        sweep([*runs, lost], folder, jobs=2)
    # the error came back from its process, what had finished stayed, and what was under way was waited for
    assert all(is_done(folder, r.key) for r in runs) and not is_done(folder, lost.key)
    return runs, folder, sweep(runs, folder)


def test_results_are_one_tidy_table(swept):
    runs, folder, results = swept
    assert list(results.columns) == ["condition", "scale", "seed", "split", "metric", "value", "run"]
    assert set(results["condition"]) == {"A", "E"} and set(results["split"]) == {"window", "episode"}
    assert np.isfinite(results["value"]).all()
    assert not results.duplicated(["condition", "scale", "seed", "split", "metric"]).any()
    assert results.groupby(["condition", "seed", "split"]).metric.agg(set).map(
        lambda found: {"mse", "mse_over_static", "moved"} <= found).all()
    heads = results[results.metric.str.fullmatch("head_[a-z]+")]
    assert set(heads.condition) == {"E"} and len(heads) == 2 * 2 * 2  # seeds × splits × heads
    for run in runs:
        record = result(folder, run.key)
        assert record["steps"] > 0 and record["windows"]["train"] > 0 and record["duration_s"] > 0
        assert (record["condition"], record["seed"]) == (run.condition, run.seed)
        assert {p.name for p in (folder / run.key).iterdir()} == {"result.json", "model.safetensors", "SHA256SUMS"} | (
            {"heads.safetensors"} if run.condition == "E" else set())
    logs = [p.name for p in (folder / "failed").iterdir()]
    assert len(logs) == 1 and "lost.safetensors" in (folder / "failed" / logs[0]).read_text()
    # no temporary folder is left, and no mark of anybody at work
    assert sorted(p.name for p in folder.iterdir()) == sorted(["failed", *(r.key for r in runs)])


def test_a_parallel_run_is_bit_for_bit_the_run_in_this_process(swept, tmp_path):
    runs, folder, _ = swept
    for run in runs[1:3]:  # E of seed 0, A of seed 1
        execute(run, tmp_path)
        for name in ("model.safetensors", "heads.safetensors"):
            if (folder / run.key / name).exists():
                assert (tmp_path / run.key / name).read_bytes() == (folder / run.key / name).read_bytes()
        mine, theirs = result(tmp_path, run.key), result(folder, run.key)
        assert mine.pop("duration_s") and theirs.pop("duration_s") and mine == theirs


def test_a_second_sweep_trains_nothing(swept, monkeypatch):
    runs, folder, results = swept
    before = snapshot(folder)

    def refuse(*_, **__):
        raise AssertionError("workers were started")

    monkeypatch.setattr(module, "opened", refuse)
    pd.testing.assert_frame_equal(sweep(runs, folder), results)
    assert snapshot(folder) == before
    assert execute(runs[0], folder) is runs[0] and snapshot(folder) == before


def test_a_larger_sweep_does_only_what_is_new(swept, squares, in_process, tmp_path):
    runs, folder, results = swept
    more, _ = plan(["A", "E"], "full", [0, 1], squares, BASE, TINY)  # the same data under another label
    again = sweep(more, folder)
    assert in_process == [] and set(again["scale"]) == {"full"}
    np.testing.assert_array_equal(again["value"], results["value"])
    new, _ = plan(["A"], "pilot", [0, 1], squares, BASE, QUICK)
    sweep(new, tmp_path / "deeper" / "runs")
    assert in_process == [r.key for r in new]


def test_finished_models_are_found_and_score_what_was_recorded(swept, squares):
    runs, folder, results = swept
    model, scale = load_model(results, folder, "E", seed=1)
    data, row = dataset.load(squares), condition("A")
    split = split_of(data, TINY, 1)
    frames = Frames.of(data, row.terms, np.unique(windows(split.train)), scale, "cpu")
    metrics = evaluate(model, torch.nn.ModuleDict(), row, frames, split.val["episode"], TINY)
    found = results.query("condition == 'E' and seed == 1 and split == 'episode'").set_index("metric")["value"]
    assert metrics["mse"] == found["mse"] and metrics["sigreg"] == found["sigreg"]
    for name, seed in (("B", 0), ("A", 7)):
        with pytest.raises(InputError, match=f"no run of condition {name}.*A, E"):
            load_model(results, folder, name, seed)
    table = curves(results, folder)
    assert len(table) == 4 * TINY.epochs and table["total"].notna().all()
    assert table.query("condition == 'A'")["head_depth"].isna().all()


def test_a_half_written_run_is_not_counted_and_is_redone(swept, tmp_path, in_process):
    runs, folder, results = swept
    run = runs[0]
    half, stale = tmp_path / run.key, tmp_path / f".{run.key}.99999"
    for place in (half, stale):
        place.mkdir()
        (place / "model.safetensors").write_bytes(b"half of it")
    assert not is_done(tmp_path, run.key)
    again = sweep([run], tmp_path)
    assert in_process == [run.key]
    same = results.query("condition == 'A' and seed == 0").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, same)
    assert (half / "model.safetensors").read_bytes() == (folder / run.key / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["result.json", "model.safetensors", "SHA256SUMS"])
@pytest.mark.parametrize("content", [lambda b: b[:-30] + bytes([b[-30] ^ 1]) + b[-29:], lambda b: b"", None],
                         ids=["a flipped bit", "emptied", "gone"])
def test_a_damaged_run_is_named_and_redone(swept, tmp_path, in_process, name, content):
    runs, folder, results = swept
    run = runs[0]
    shutil.copytree(folder / run.key, tmp_path / run.key)
    assert is_done(tmp_path, run.key)
    path = tmp_path / run.key / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content(path.read_bytes()))
    if name == "SHA256SUMS" and content is None:
        assert is_done(tmp_path, run.key)  # a run of an earlier version has none
        return
    if name == "result.json" and content is None:
        again = sweep([run], tmp_path)  # it was never finished
    else:
        with pytest.warns(DamageWarning, match=f"{run.key}/.* is damaged and is made again"):
            again = sweep([run], tmp_path)
    assert in_process == [run.key] and is_done(tmp_path, run.key)
    pd.testing.assert_frame_equal(again, results.query("condition == 'A' and seed == 0").reset_index(drop=True))


def test_a_run_without_checksums_is_read_unless_its_result_is_none(swept, tmp_path):
    runs, folder, _ = swept
    shutil.copytree(folder / runs[0].key, tmp_path / runs[0].key)
    (tmp_path / runs[0].key / "SHA256SUMS").unlink()
    assert is_done(tmp_path, runs[0].key)
    for text in ("", "[]", "{}", "{"):
        (tmp_path / runs[0].key / "result.json").write_text(text)
        with pytest.warns(DamageWarning, match="result.json is damaged"):
            assert not is_done(tmp_path, runs[0].key)
        with pytest.raises(InputError, match="result.json"):
            result(tmp_path, runs[0].key)


def test_a_run_that_fails_leaves_nothing_of_itself(squares, tmp_path):
    fingerprint = dataset.load(squares).fingerprint
    run = Run("A", "pilot", 0, str(squares), fingerprint, BASE, replace(QUICK, lr=1e38))
    with pytest.raises(InputError, match="at step"):
        execute(run, tmp_path)
    changed = replace(run, fingerprint="as it was when planned", recipe=QUICK)
    with pytest.raises(InputError, match="changed since"):
        execute(changed, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_base_with_weights_starts_every_seed_alike(squares, tmp_path):
    path = tmp_path / "base.safetensors"
    data = dataset.load(squares)
    given = train(LeWM(MODELS["nano"], 0), condition("A"), data, QUICK, 0)
    scale = {"mean": [0.5] * 7, "std": [2.0] * 7}
    checkpoint.save(path, given.model, action_scale=scale)
    base = Base("mine", "nano", path, "hash")
    still = replace(QUICK, lr=0.0)
    for seed in (0, 1):
        run = execute(Run("A", "pilot", seed, str(squares), data.fingerprint, base, still), tmp_path / "runs")
        model, metadata = checkpoint.load(tmp_path / "runs" / run.key / "model.safetensors")
        assert metadata["action_scale"] == scale and metadata["base"] == "mine"
        start = dict(given.model.named_parameters())
        assert all(torch.equal(v, start[n]) for n, v in model.named_parameters())


def alive(processes):
    def runs(process):
        try:
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
    return [p for p in processes if runs(p)]


@pytest.mark.slow
@pytest.mark.timeout(600)  # two processes import torch: seconds, or minutes on a machine with much else to do
def test_a_killed_sweep_goes_on_where_it_was(squares, tmp_path, in_process):
    recipe, folder = replace(TINY, epochs=4), tmp_path / "runs"
    runs, _ = plan(["A", "B"], "pilot", [0, 1, 2], squares, BASE, recipe)
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from dataclasses import replace
from pathlib import Path
from tests.helpers import TINY, random_base
from lewm_core.experiments.sweep import plan, sweep
runs, _ = plan(["A", "B"], "pilot", [0, 1, 2], Path({str(squares)!r}), random_base(), replace(TINY, epochs=4))
sweep(runs, Path({str(folder)!r}), jobs=1)
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as killed:
        end = time.monotonic() + 400
        while not any(is_done(folder, r.key) for r in runs) and killed.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        workers = psutil.Process(killed.pid).children(recursive=True) if killed.poll() is None else []
        killed.send_signal(signal.SIGKILL)
        errors = killed.communicate()[1].decode()
    assert len(workers) >= 2, errors
    end = time.monotonic() + 30
    while alive(workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(workers)  # nobody goes on training for a sweep that is gone

    finished = [r for r in runs if is_done(folder, r.key)]
    assert 0 < len(finished) < len(runs)
    before = {r.key: snapshot(folder / r.key) for r in finished}
    for run in finished:
        assert json.loads((folder / run.key / "result.json").read_text())["seed"] == run.seed
        checkpoint.load(folder / run.key / "model.safetensors")
    results = sweep(runs, folder)
    assert in_process == [r.key for r in runs if r not in finished]
    assert {key: snapshot(folder / key) for key in before} == before
    assert set(results["run"]) == {r.key for r in runs} and np.isfinite(results["value"]).all()


def test_a_run_whose_process_died_costs_itself_alone(squares, tmp_path, monkeypatch, in_process):
    runs, _ = plan(["A", "B"], "pilot", [0, 1], squares, BASE, QUICK)

    class Dying(Recording):
        def map(self, function, items, name, **options):
            for run, outcome in super().map(function, items, **options):
                yield run, Lost(name(run), "that its worker process died", "enough memory") if run is left else outcome

    left = runs[1]
    monkeypatch.setattr(module, "opened", Dying)
    with pytest.raises(InputError, match="B seed 0: found that its worker.*1 of 4 runs failed"):
        sweep(runs, tmp_path)
    assert in_process == [run.key for run in runs]  # the others were done
    assert "its worker process died" in (tmp_path / "failed" / f"{left.key}.log").read_text()
    shutil.rmtree(tmp_path / left.key)
    monkeypatch.setattr(module, "opened", Recording)
    sweep(runs, tmp_path)
    assert in_process[len(runs):] == [left.key] and not list((tmp_path / "failed").iterdir())


def test_no_more_processes_than_runs(squares, tmp_path, monkeypatch):
    asked = []

    class Counting(InProcess):
        def __init__(self, on, jobs, folder, **_):
            asked.append(jobs)

    monkeypatch.setattr(module, "opened", Counting)
    runs, _ = plan(["A"], "pilot", [0], squares, BASE, QUICK)
    sweep(runs, tmp_path, jobs=8)
    assert asked == [1]
