"""One reader of bench_scale in a process of its own: it opens its data, and at each line on stdin reads all once more.

Run by bench_scale, never by hand: `python -m benchmarks.public_reading READER PATH N`. For each pass a JSON line says
what it cost and, that all are seen to read the same, what was read.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks import public_counts
from benchmarks.public_readers import Pass, Sum, lerobot, our_bridge, our_lerobot, plain_lerobot, small_tfrecord, tfds

WINDOW, BATCH = 4, 16


def our_windows(path: str, n: int, stored: bool) -> Pass:
    """Our dataset file: in memory, or read from disk as windows ask for it."""
    import torch

    from lewm_core import dataset
    from lewm_core.dataset import window_starts, windows
    from lewm_core.dataset.frames import ActionScale, Frames

    torch.set_num_threads(1)
    data = dataset.load(Path(path) / "ours.h5", in_memory=not stored)
    index = torch.from_numpy(windows(window_starts(data["ep_len"], data["ep_offset"])))
    frames = Frames.of(data, (), np.arange(1), ActionScale((0,) * 7, (1,) * 7), "cpu")

    def read(found: Sum) -> None:
        for rows in drawn(len(index), n):
            for pixels, actions in zip(frames.pixels[index[rows]], frames.actions[index[rows]], strict=True):
                found.add(WINDOW, actions.numpy(), pixels.numpy())

    return read


def public_windows(path: str, n: int, name: str, file: str) -> Pass:
    """stable-worldmodel's reader with a DataLoader, on a file that its own writer makes of ours."""
    os.environ["STABLEWM_HOME"] = path
    import torch

    from lewm_core.utils import torchvision_compat

    torchvision_compat.ensure()
    from stable_worldmodel import data as module
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    if not (Path(path) / file).exists():
        with getattr(module, name.replace("Dataset", "Writer"))(Path(path) / file) as out:
            out.write_episodes(columns(Path(path) / "ours.h5"))
    data = getattr(module, name)(path=Path(path) / file, num_steps=WINDOW, keys_to_load=["pixels", "action"])

    def read(found: Sum) -> None:
        for batch in DataLoader(data, batch_sampler=drawn(len(data), n)):
            for pixels, actions in zip(batch["pixels"], batch["action"], strict=True):
                found.add(WINDOW, actions.numpy(), pixels.numpy())

    return read


def columns(path: Path) -> Iterator[dict[str, list]]:
    """The episodes of our dataset file as the public writers take them."""
    import h5py

    with h5py.File(path) as f:
        for length, offset in zip(f["ep_len"][:], f["ep_offset"][:], strict=True):
            own = slice(offset, offset + length)
            yield {name: list(f[name][own]) for name in ("pixels", "action", "observation")}


def drawn(windows: int, n: int) -> list[list[int]]:
    """`n` windows at random, in batches; the same for every reader."""
    return np.random.default_rng(0).integers(windows, size=(n // BATCH, BATCH)).tolist()


# reader -> the modules that it needs, and what opens it
READERS: dict[str, tuple[tuple[str, ...], Callable[[str, int], Pass]]] = {
    "ours, metadata": (("lewm_core",), lambda path, _: our_bridge(path, False)),
    "tfrecord, metadata": (("tfrecord",), lambda path, _: small_tfrecord(path, False)),
    "tfds, metadata": (("tensorflow", "tensorflow_datasets"), lambda path, _: tfds(path, False)),
    "ours, episodes": (("lewm_core",), lambda path, _: our_bridge(path, True)),
    "tfrecord, episodes": (("tfrecord", "simplejpeg"), lambda path, _: small_tfrecord(path, True)),
    "tfds, episodes": (("tensorflow", "tensorflow_datasets"), lambda path, _: tfds(path, True)),
    "ours, lerobot": (("lewm_core", "pyarrow", "av"), our_lerobot),
    "lerobot, lerobot": (("lerobot", "av"), lerobot),
    "pyarrow + av, lerobot": (("pyarrow", "av"), plain_lerobot),
    "ours, windows": (("lewm_core", "torch"), lambda path, n: our_windows(path, n, False)),
    "ours from disk, windows": (("lewm_core", "torch"), lambda path, n: our_windows(path, n, True)),
    "HDF5, windows": (("stable_worldmodel",), lambda path, n: public_windows(path, n, "HDF5Dataset", "public.h5")),
    "Lance, windows": (("stable_worldmodel", "lance"),
                       lambda path, n: public_windows(path, n, "LanceDataset", "public.lance")),
}


def libraries(modules: tuple[str, ...]) -> str:
    """The distributions of these modules and their versions; ours has none to name."""
    owners = metadata.packages_distributions()
    names = dict.fromkeys(owners[module][0] for module in modules if module in owners and module != "lewm_core")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def main(name: str, path: str, n: str) -> None:
    needs, opened = READERS[name]
    if lacking := [module for module in needs if find_spec(module) is None]:
        print(json.dumps({"absent": f"not installed: {', '.join(lacking)}"}), flush=True)
        return
    public_counts.one_core()
    try:
        read = opened(path, int(n))
    except Exception as error:  # a library of others that is there and does not run: it may raise anything
        if name.startswith("ours"):
            raise
        reason = f"{libraries(needs)} does not run here: {type(error).__name__}: {str(error).splitlines()[0][:100]}"
        print(json.dumps({"absent": reason}), flush=True)
        return
    public_counts.forget_peak()
    before = public_counts.memory("VmRSS")
    print(json.dumps({"libraries": libraries(needs)}), flush=True)
    for _ in sys.stdin:
        found, begun = Sum(), public_counts.counted()
        read(found)
        more = {"peak": public_counts.memory() - before, **vars(found)}
        print(json.dumps(public_counts.since(begun) | more), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
