"""What it costs to do many things here, on a Ray cluster or through Slurm, and what a lost worker costs.

    ./run_all.sh bench bench_executors [--parts tasks,sweep,episodes] [--on local,ray,slurm] [--runs N] [--episodes N]

Ray is a cluster of node processes of this machine (`ray.cluster_utils.Cluster`), Slurm is submitit's local executor:
what is measured is the software's own cost, not a network's. tasks: empty ones, ones that wait and ones that compute,
at 1, 2 and 4 workers. sweep: the same tiny runs everywhere, on Ray with a node killed twice, through Slurm with a
preemption twice; all tables must be equal. episodes: signals of simulated episodes through Ray, with a node killed.

Writes executors.csv and its section of speed.md, both in docs/ unless --output says otherwise. Wants an idle machine:
Ray's processes have 15 s to start.
"""

import argparse
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import psutil

from benchmarks import speed_page
from benchmarks.public_table import about
from lewm_core.utils import executors
from lewm_core.utils.files import write_csv
from lewm_core.utils.provenance import usable_cores

WORKERS, NODES = (1, 2, 4), 4
SECONDS = 0.5  # of an item that waits or computes
COUNTS = {"empty": {"local": 400, "ray": 400, "slurm": 8}, "waiting": {"local": 24, "ray": 24, "slurm": 12},
          "computing": {"local": 24, "ray": 24, "slurm": 12}}
CONDITIONS, SWEPT = ("A", "B", "D", "E"), 13
KEYS = ["part", "executor", "workers", "measure"]
NAMES = {"local": "processes of this machine", "ray": "Ray", "slurm": "submitit, its local executor"}
Row = tuple[str, str, int, str, float]


def item(task: tuple[str, int]) -> int:
    """One empty, waiting or computing item."""
    kind, number = task
    if kind == "waiting":
        time.sleep(SECONDS)
    end = time.process_time() + SECONDS
    while kind == "computing" and time.process_time() < end:
        pass
    return number


@contextmanager
def cluster(on: str) -> Iterator:
    """A Ray cluster of NODES nodes of one core each, where `on` is ray; yields it and what --on would say."""
    if on != "ray":
        yield None, {"local": "local", "slurm": "slurm:local"}[on]
        return
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # or it writes a token to the home folder
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(NODES):
        made.add_node(num_cpus=1)
    try:
        yield made, f"ray:{made.address}"
    finally:
        ray.shutdown()
        made.shutdown()


def tasks(on: str, where: str, folder: Path) -> list[Row]:
    """Seconds that each kind of item takes at 1, 2 and 4 workers, the workers being there already."""
    from benchmarks.bench_executors import item  # by the name that workers know it by

    rows: list[Row] = []
    for jobs in WORKERS:
        with executors.opened(where, jobs, folder / f"tasks{jobs}") as workers:
            if on != "slurm":  # whose workers are new for each item
                list(workers.map(item, [("waiting", n) for n in range(2 * jobs)]))
            for kind, counts in COUNTS.items():
                n, begun = counts[on], time.perf_counter()
                found = [outcome for _, outcome in workers.map(item, [(kind, n) for n in range(n)])]
                seconds = time.perf_counter() - begun
                assert sorted(found) == list(range(n)), found
                rows.append((f"tasks: {kind}", on, jobs, "s an item", seconds / n))
                print(rows[-1], flush=True)
    return rows


def when(reached: Callable[[], int], at: list[int], act: Callable[[], None]) -> threading.Thread:
    """A thread that calls `act` each time that `reached()` has come to the next number of `at`."""

    def watch() -> None:
        for number in at:
            while reached() < number:
                time.sleep(0.05)
            act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def kill_node(made) -> None:
    """One node of the cluster is gone, without a word."""
    victim = made.worker_nodes and next(iter(made.worker_nodes))
    print("killing a node of", len(made.worker_nodes), flush=True)
    made.remove_node(victim, allow_graceful=False)


def preempt() -> None:
    """One job at work gets the signal that Slurm sends before it takes the machine away."""
    import signal

    for process in psutil.Process().children(recursive=True):
        if "submitit.core._submit" in " ".join(process.cmdline()) and process.cpu_times().user > 3:  # it has begun
            print("preempting a job", flush=True)
            return process.send_signal(signal.SIGUSR2)


def sweep_once(on: str, made, where: str, folder: Path, path: Path, runs: int) -> tuple[list[Row], pd.DataFrame]:
    """Seconds of the sweep, and its table."""
    from lewm_core.config import Recipe
    from lewm_core.experiments.base import resolve
    from lewm_core.experiments.sweep import plan, sweep

    planned, _ = plan(CONDITIONS, "executors", range(runs // len(CONDITIONS)), path, resolve("random", "nano", folder),
                      Recipe(epochs=1))
    place = folder / f"runs_{on}"

    def done() -> int:
        return len(list(place.glob("*/result.json")))

    third = len(planned) // 3
    if on == "ray":
        when(done, [third, 2 * third], lambda: kill_node(made))
    if on == "slurm":
        when(done, [third, 2 * third], preempt)
    begun = time.perf_counter()
    table = sweep(planned, place, 2 if on != "ray" else 0, where)
    seconds = time.perf_counter() - begun
    left = [p.name for p in place.iterdir() if p.name.startswith(".") and p.name != ".jobs"]
    print(on, f"{len(planned)} runs in {seconds:.0f} s; left in the folder: {left}", flush=True)
    return [("sweep", on, NODES if on == "ray" else 2, f"s for {len(planned)} runs", seconds)], table


def episodes(made, where: str, folder: Path, n: int) -> list[Row]:
    """Seconds and memory of n episodes' signals through Ray, a node being killed after a third of them."""
    from lewm_core.signals.pipeline import SourceSpec, packets

    spec = SourceSpec("tabletop", n, 0, 32)
    ids, cache = [info.id for info in spec.open().infos()], folder / "cache"
    when(lambda: len(list(cache.glob("*.npz"))), [n // 3], lambda: kill_node(made))
    begun, memory, seen = time.perf_counter(), {}, 0
    for seen, _ in enumerate(packets(spec, ids, cache, on=where), 1):
        if seen in (n // 10, n // 2, n):
            memory[seen] = psutil.Process().memory_info().rss / 1e6
    seconds = time.perf_counter() - begun
    assert seen == n
    begun = time.perf_counter()
    assert sum(1 for _ in packets(spec, ids, cache, on=where)) == n
    again = time.perf_counter() - begun
    print(n, "episodes:", seconds, "s, again:", again, "s, memory", memory, flush=True)
    rows: list[Row] = [("episodes", "ray", NODES, f"s for {n}", seconds), ("episodes", "ray", NODES, "s again", again)]
    return rows + [("episodes", "ray", NODES, f"MB after {after}", value) for after, value in memory.items()]


def measured(options: argparse.Namespace) -> Iterator[list[Row]]:
    """The rows, as they are there; AssertionError where the tables of the sweeps differ."""
    tables: dict[str, pd.DataFrame] = {}
    with TemporaryDirectory(dir=options.scratch) as name:
        folder, path = Path(name), Path(name) / "swept.h5"
        if "sweep" in options.parts:
            from benchmarks.bench_dataset import apart
            from benchmarks.bench_growth import packed

            apart(packed, path, SWEPT)
        for on in options.on:
            with cluster(on) as (made, where):
                if "tasks" in options.parts:
                    yield tasks(on, where, folder / on)
                if "episodes" in options.parts and on == "ray":
                    yield episodes(made, where, folder, options.episodes)
                    made.add_node(num_cpus=1)
                if "sweep" in options.parts:
                    rows, tables[on] = sweep_once(on, made, where, folder, path, options.runs)
                    yield rows
        first = next(iter(tables.values()), None)
        for on, table in tables.items():
            pd.testing.assert_frame_equal(table, first)
            print("equal tables:", on, len(table), "rows", flush=True)
    print(f"the most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


def keep(rows: list[Row], path: Path) -> pd.DataFrame:
    """The table at `path` with the rows put in, or in place of those measured before."""
    old = [pd.read_csv(path)] if path.exists() else []
    table = pd.concat([*old, pd.DataFrame(rows, columns=[*KEYS, "value"])]).drop_duplicates(KEYS, keep="last")
    write_csv(path, table.sort_values(["part", "executor", "workers"], kind="stable"))
    return pd.read_csv(path)


def section(table: pd.DataFrame) -> str:
    """The section of the page."""
    made = about()
    text = ["## Executors", "", f"{made['date']}, commit {made['commit']}. {made['machine']}, load "
            f"{os.getloadavg()[2]:.0f} (above {max(WORKERS)}: of other work, too). Ray is a cluster of node "
            "processes of this machine, Slurm is submitit's local executor. The numbers: "
            "[executors.csv](executors.csv).", "",
            f"Seconds an item at so many workers; items that wait or compute take {SECONDS} s each, so that "
            f"{SECONDS} / workers is the best there is, and for those that compute {SECONDS} / {usable_cores()}.", "",
            "| executor | item | " + " | ".join(map(str, WORKERS)) + " |", "|---|---|" + "---|" * len(WORKERS)]
    items = table[table.part.str.startswith("tasks")]
    for (on, part), rows in items.groupby(["executor", "part"], sort=False):
        value = rows.set_index("workers").value
        text.append(f"| {NAMES[on]} | {part.removeprefix('tasks: ')} | "
                    + " | ".join(f"{value[jobs]:.3g}" if jobs in value else "" for jobs in WORKERS) + " |")
    text += ["", "The same sweep of tiny runs on each, with equal tables (on Ray a node was killed twice, through "
             "Slurm a job was preempted twice); and signals of simulated episodes through Ray, a node killed:", "",
             "| what | executor | measure | |", "|---|---|---|---|"]
    for row in table[~table.part.str.startswith("tasks")].itertuples():
        text.append(f"| {row.part} | {NAMES[row.executor]} | {row.measure} | {row.value:,.1f} |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser("./run_all.sh bench bench_executors", description=__doc__.splitlines()[0])
    for name, default in (("parts", "tasks,sweep,episodes"), ("on", "local,ray,slurm")):
        parser.add_argument(f"--{name}", type=lambda text: text.split(","), default=default.split(","))
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--episodes", type=int, default=5000)
    parser.add_argument("--scratch", type=Path, help="where to work (default: the temporary folder)")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parents[1] / "docs", metavar="DIR")
    options = parser.parse_args()
    for rows in measured(options):
        table = keep(rows, options.output / "executors.csv")
        speed_page.put(options.output, "bench_executors", section(table))
    print(section(table))


if __name__ == "__main__":
    main()
