"""On a GPU: a run ends as on a CPU, to the precision of its half precision, wherever its frames lie."""

from dataclasses import replace

import pytest
import torch

from lewm_core import dataset, steps
from lewm_core import train as module
from lewm_core.conditions import condition
from lewm_core.config import MODELS
from lewm_core.dataset.stored import Stored
from lewm_core.experiments.run import result
from lewm_core.experiments.sweep import plan, sweep
from lewm_core.model import LeWM
from lewm_core.train import train
from tests.helpers import TINY, random_base, write_squares

NANO = replace(MODELS["nano"], dropout=0.0)  # whose masks another generator would draw

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares.h5")


@pytest.fixture(autouse=True)
def directions(monkeypatch):
    """The same ones everywhere: generators of two devices draw differently."""
    drawn = torch.randn(NANO.dim, TINY.directions, generator=torch.Generator().manual_seed(0))
    on = {"cpu": drawn, "cuda": drawn.cuda()}
    monkeypatch.setattr(steps, "draw_directions", lambda dim, n, generator: on[generator.device.type])


def run(data, name):
    return train(LeWM(NANO, seed=9), condition(name), data, replace(TINY, lr=5e-5), 0)


@pytest.mark.parametrize("name", ["A", "B", "C1", "D", "E", "G"])
def test_a_run_ends_as_it_does_on_a_cpu(squares, monkeypatch, name):
    data = dataset.load(squares)
    on_gpu = run(data, name)
    assert next(on_gpu.model.parameters()).is_cuda
    monkeypatch.setattr(module, "default_device", lambda: "cpu")
    on_cpu = run(data, name)
    for split, found in on_gpu.metrics.items():
        for metric, rel in {"mse": 0.03, "static_mse": 0.05, "target_variance": 0.05, "moved": 0.15}.items():
            assert found[metric] == pytest.approx(on_cpu.metrics[split][metric], rel=rel), (split, metric)
    for losses, wanted in zip(on_gpu.curve, on_cpu.curve, strict=True):
        assert losses == pytest.approx(wanted, rel=0.02)


def test_frames_that_stay_in_their_file_train_alike(squares):
    """Nothing is recorded then: no file is read within a graph."""
    held = run(dataset.load(squares), "A")
    stored = dataset.load(squares, in_memory=False)
    assert isinstance(stored["pixels"], Stored)
    from_file = run(stored, "A")
    assert from_file.curve[-1]["pred"] == pytest.approx(held.curve[-1]["pred"], rel=1e-2)
    assert from_file.metrics["episode"]["mse"] == pytest.approx(held.metrics["episode"]["mse"], rel=1e-2)


def test_a_sweep_is_done_on_the_gpu_and_named_by_it(squares, tmp_path):
    runs, _ = plan(["base", "A", "E"], "pilot", [0], squares, random_base(), TINY)
    here = sweep(runs, tmp_path, jobs=2)
    assert len(here.run.unique()) == 3
    assert {result(tmp_path, run.key)["device"] for run in runs} == {"cuda"}
    torch.cuda.synchronize()
    elsewhere = [replace(run, device="cpu") for run in runs]
    assert not {run.key for run in runs} & {run.key for run in elsewhere}
