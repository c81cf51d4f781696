"""Readers at scale: BridgeData V2 at its full size, and each reader beside the format's own library.

    ./run_all.sh bench bench_scale --sample DIR [--only readers,full] [--rounds N] [--python PATH ..] [--scratch DIR]
                                   [--output DIR]

Writes scale.csv, scale_full.csv and a section of speed.md, all in docs/ unless --output says otherwise. The data are
made of a real shard of BridgeData V2, which lies in the folder --sample with its two JSON files. Libraries to compare
with are looked for in this environment and in those whose Python is given by --python (several times, where they do not
go together); one that is nowhere installed is left out, with the reason. Wants Linux, 8 GB of disk in --scratch, and
half an hour; jumps are counted where strace is installed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import public_bridge, public_counts, public_full, public_scale_page, speed_page
from benchmarks.public_bridge import ROOT
from benchmarks.public_reading import READERS
from lewm_core import dataset
from lewm_core.signals.backends import Backends
from lewm_core.signals.extraction import extract
from lewm_core.sources.bridge import open_bridge
from lewm_core.sources.episode import Episode
from lewm_core.utils.files import write_csv

SIZES = (1_000, 10_000, public_bridge.FULL)
PARTS = {"metadata": 520, "episodes": 104, "lerobot": 40, "windows": 1600}  # what is read: items of a pass
EPISODES = 100  # of the dataset file that windows are read from
Row = dict[str, object]


class Child:
    """A reader in a process of its own. absent: why it is not there, empty where it is."""

    def __init__(self, reader: str, path: Path, n: int, pythons: list[str]):
        self.reader, self.path, self.absent = reader, path, "not installed"
        for python in pythons:
            command = [python, "-m", "benchmarks.public_reading", reader, str(path), str(n)]
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, text=True,
                                            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
            begun = self._answer()
            self.absent, self.libraries = begun.get("absent", ""), begun.get("libraries", "")
            if not self.absent:
                return

    def read(self) -> Row:
        """One pass: what it cost and what it read."""
        print(file=self.process.stdin, flush=True)
        return self._answer()

    def traced(self) -> Row:
        """One more pass, slowed down by strace: jumps, files opened and mapped for each item. Nothing without it."""
        if shutil.which("strace") is None:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            command = ["strace", "-ff", "-y", "-s", "0", "-e", f"trace={public_counts.CALLS}",
                       "-o", str(Path(folder) / "calls"), "-p", str(self.process.pid)]
            strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            if "attached" not in strace.stderr.readline():
                return {}
            found = self.read()
            strace.send_signal(signal.SIGINT)
            strace.communicate()
            totals = pd.DataFrame([public_counts.jumps(file.read_text(errors="replace").splitlines(), str(self.path))
                                   for file in Path(folder).iterdir()]).sum()
        return {what: totals[what] / found["items"] for what in ("jumps", "opened", "mapped")}

    def _answer(self) -> Row:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.reader}: {self.process.stderr.read()[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.communicate()


def written(scratch: Path, sample: Path) -> dict[str, Path]:
    """By part what is read: shards, a LeRobot dataset of the same episodes, and a dataset file."""
    from lewm_core.sources.lerobot_writer import export

    paths = {"metadata": public_bridge.write(scratch / "shards", PARTS["metadata"], sample),
             "episodes": public_bridge.write(scratch / "few", PARTS["episodes"], sample),
             "lerobot": scratch / "lerobot", "windows": scratch / "windows"}
    source = open_bridge(paths["episodes"], public_bridge.PX)
    ids = [*source.ids()]
    export(paths["lerobot"], map(source.load, ids[: PARTS["lerobot"]]))
    source = open_bridge(paths["metadata"], 64)
    episodes = (named(source.load(id), id) for id in [*source.ids()][:EPISODES])
    paths["windows"].mkdir()
    dataset.write(paths["windows"] / "ours.h5", ((e, extract(e, Backends(None, None, None))) for e in episodes))
    return paths


def named(episode: Episode, id: str) -> Episode:
    return Episode(id, episode.frames, episode.actions, episode.observations, episode.task)


def compared(part: str, path: Path, rounds: int, pythons: list[str]) -> Iterator[Row]:
    """Every reader of a part, pass by pass in turns: a row for each."""
    names = [name for name in READERS if name.endswith(f", {part}")]
    children = {name: Child(name, path, PARTS[part], pythons if not name.startswith("ours") else [sys.executable])
                for name in names}
    there = [name for name in names if not children[name].absent]
    passes: dict[str, list[Row]] = {name: [] for name in there}
    for i in range(-1, rounds):  # the first one fills the operating system's cache
        for name in there[:: 1 if i % 2 else -1]:
            found = children[name].read()
            if i >= 0:
                passes[name].append(found)
    for name, child in children.items():
        row = {"part": part, "reader": name.removesuffix(f", {part}"), "absent": child.absent}
        if name in there:
            row |= summary(passes[name], passes[there[0]]) | {"libraries": child.libraries} | child.traced()
        child.close()
        yield row


def summary(passes: list[Row], ours: list[Row]) -> Row:
    """An item's medians, and of the passes the median and range of this one's CPU time over ours."""
    table, own = pd.DataFrame(passes), pd.DataFrame(ours)
    n = table["items"]
    ratios = (table.cpu / own.cpu).to_numpy()
    return {"n": int(n[0]), "frames": int(table.frames[0]), "cpu": 1e3 * (table.cpu / n).median(),
            "wall": 1e3 * (table.wall / n).median(), "bytes": (table.bytes / n).median() / 1e3,
            "reads": (table.reads / n).median(), "peak": table.peak.max(), "ratio": np.median(ratios),
            "low": ratios.min(), "high": ratios.max(), "rounds": len(table), "actions": table.actions[0],
            "pixels": table.pixels[0] / max(1, int(n[0]))}


def full(scratch: Path, sizes: list[int], sample: Path) -> Iterator[Row]:
    """Each step at each size."""
    for n in sizes:
        folder, output = public_bridge.write(scratch / f"bridge{n}", n, sample), scratch / f"study{n}"
        for step in public_full.STEPS:
            for row in public_full.apart(step, folder, n, output):
                print(*(f"{name} {value:.4g}," if isinstance(value, float) else value for name, value in row.items()),
                      flush=True)
                yield row
        shutil.rmtree(output)
        shutil.rmtree(folder)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("./run_all.sh bench bench_scale", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", choices=("readers", "full"), help="only this part; the other's table stays")
    p.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="of the readers, only these")
    p.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="N", help="episodes (default: up to all)")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="passes of each reader (default 7)")
    p.add_argument("--python", action="append", default=[], metavar="PATH", help="of an environment with a peer")
    p.add_argument("--sample", type=Path, required=True, metavar="DIR", help="the real shard's folder")
    p.add_argument("--scratch", type=Path, default=None, metavar="DIR", help="where data are made (default: temporary)")
    p.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR", help="where the tables go")
    return p


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if not options.sample.is_dir():
        parser().error(f"--sample: {options.sample} is no folder")
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        scratch = Path(name)
        if options.only != "full":
            paths = written(scratch, options.sample)
            rows = []
            for part in options.parts:
                rows += compared(part, paths[part], options.rounds, [sys.executable, *options.python])
                load.append(os.getloadavg()[0])
                print(pd.DataFrame(rows[-4:]).to_string(), flush=True)
            put(options.output / "scale.csv", rows, load)
        if options.only != "readers":
            rows = []
            for row in full(scratch, options.sizes, options.sample):
                rows.append(row)
                put(options.output / "scale_full.csv", rows, load)
    speed_page.put(options.output, "bench_scale", public_scale_page.section(options.output))
    return 0


def put(path: Path, rows: list[Row], load: list[float]) -> None:
    """Write the table, so that a stop loses only what comes next."""
    table = pd.DataFrame(rows)
    load.append(os.getloadavg()[0])
    write_csv(path, table.assign(**public_scale_page.about(load)))


if __name__ == "__main__":
    sys.exit(main())
