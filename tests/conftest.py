"""What the tests share. None of them needs a network or a display; those of `--gpu` need a GPU, and no others do."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: threads of their own would get in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="run the tests that need a GPU, and no others")


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: needs a GPU")
    if not config.getoption("--gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what the others are compared with is computed on a CPU
        return
    import torch

    if not torch.cuda.is_available():
        raise pytest.UsageError("--gpu: no GPU is visible to PyTorch here")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--gpu"):
        skipped = pytest.mark.skip(reason="needs a GPU: ./run_all.sh test --gpu")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skipped)
        return
    others = [item for item in items if not item.get_closest_marker("gpu")]
    items[:] = [item for item in items if item.get_closest_marker("gpu")]
    config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the golden files and the real data sample, beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder with golden files and sample data is not there")
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """torch on one thread, so that sums have one order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
