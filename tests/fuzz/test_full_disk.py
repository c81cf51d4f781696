"""A disk that is really full, in mid-packing, in mid-training and elsewhere: one error that names the file, nothing
half-written, and the same call goes on when there is room. Needs the right to mount a small disk in memory."""

import subprocess

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lewm_core import dataset
from lewm_core.experiments.run import Run, execute, is_done
from lewm_core.utils.arrays import write_arrays
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import FullDisk, write_csv
from lewm_core.viz import style
from tests.helpers import LENGTHS, TINY, moving_square, random_base, write_squares

IDS = [f"square{i}" for i in range(len(LENGTHS))]


class Disk:
    """A disk of so many bytes in memory."""

    def __init__(self, path):
        self.path = path

    def _mount(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path], check=True, capture_output=True)

    def small(self, size=300_000):
        self._mount(f"size={size}")

    def grow(self):
        self._mount("remount,size=50000000")

    def all(self):
        return sorted(str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file())


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    disk.path.mkdir()
    try:
        disk.small()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a small disk in memory")
    yield disk
    subprocess.run(["umount", disk.path], check=True)


def packets(left):
    return (moving_square(int(id.removeprefix("square")), LENGTHS[int(id.removeprefix("square"))]) for id in left)


@pytest.mark.parametrize("size", [30_000, 100_000, 200_000, 300_000, 400_000])
def test_packing(disk, size):
    subprocess.run(["umount", disk.path], check=True)
    disk.small(size)
    path, asked = disk.path / "squares.h5", []
    with pytest.raises(FullDisk, match=str(disk.path)):
        dataset.pack(path, IDS, packets, source="squares")
    kept = [name for name in disk.all() if name.endswith(".npz")]
    assert not path.exists() and len(kept) == len(disk.all())
    disk.grow()
    dataset.pack(path, IDS, lambda left: asked.extend(left) or packets(left), source="squares")
    assert len(asked) == len(IDS) - len(kept) and disk.all() == ["squares.h5"]
    assert len(dataset.load(path)["ep_len"]) == len(IDS)


def test_training(disk, tmp_path):
    data = write_squares(tmp_path / "squares.h5")
    run = Run("B", "pilot", 0, str(data), dataset.load(data).fingerprint, random_base(), TINY)
    with pytest.raises(FullDisk, match="safetensors: found no room|result.json: found no room|no room"):
        execute(run, disk.path / "runs")
    assert disk.all() == [] and not is_done(disk.path / "runs", run.key)
    disk.grow()
    execute(run, disk.path / "runs")
    assert is_done(disk.path / "runs", run.key)


def test_tables_arrays_and_figures(disk):
    big = np.random.default_rng(0).random(200_000)
    table = pd.DataFrame({"value": [1.0]}).pipe(style.tidy, value="value", metric="m")
    figure = Figure((20, 20))
    figure.add_subplot().imshow(np.random.default_rng(0).random((900, 900)), cmap="hsv")
    for name, write in {
        "table.csv": lambda path: write_csv(path, pd.DataFrame({"x": big})),
        "arrays.npz": lambda path: write_arrays(path, {"x": big}, {}),
        "figure1": lambda path: style.save_figure(figure, path, table, {}),
    }.items():
        with pytest.raises(InputError, match=f"{disk.path}/{name}.*: found no room"):
            write(disk.path / name)
        assert [left for left in disk.all() if left != "SHA256SUMS"] == []
