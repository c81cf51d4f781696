"""Kills a study at random moments, looks for what is left, lets it go on, and compares it with an undisturbed one.

    python -m tests.fuzz.kills --kills 100 --profile quick --folder /tmp/kills

Options that it does not know go to run_all.sh, such as `--only 01,02` for a short try.
In `--folder` it keeps an undisturbed run (made once, reused by a second call), the killed one, and a row for each kill
in kills.csv. A kill has a phase (starting, or a notebook) and a moment in it, both drawn from the seed: every phase has
one, longer ones have more. Half of the kills hit the process group, the others only the first process. Then nothing
that it started may be alive after PATIENCE seconds, and the same command must go on. At the end every table of the two
runs must be the same, every checksum right (`lewm_core verify`), and nothing half-written be left.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import psutil

from lewm_core.utils.temporary import is_left
from lewm_core.utils.workspace import ROOT

PATIENCE = 30.0  # seconds for what a killed process started to end by itself
STARTING = "starting"
MARK = "LEWM_KILLS"  # an environment variable that everything which is started here inherits
VOLATILE = ("seconds", "duration_s")  # columns of times


@dataclass(frozen=True)
class Kill:
    """phase: a notebook or STARTING. share: of its undisturbed duration. group: kill the whole process group."""

    phase: str
    share: float
    group: bool


class Run:
    """The command under way; `phase` and since when it is in it, as its own lines tell."""

    def __init__(self, options: list[str], output: Path, log: Path):
        self.mark = f"{os.getpid()}.{time.time_ns()}"
        command = [sys.executable, "-m", "lewm_core.runner.cli", *options, "--output", str(output)]
        env = os.environ | {MARK: self.mark, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.seen: list[tuple[str, float]] = [(STARTING, time.monotonic())]
        self.reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self.reader.start()

    def _read(self, log: Path) -> None:
        with open(log, "a") as f:
            for line in self.process.stdout:
                f.write(line)
                f.flush()
                if found := re.match(r"(\d\d_\w+): started", line):
                    self.seen.append((found[1], time.monotonic()))

    def wait_for(self, phase: str, seconds: float) -> str | None:
        """Wait until it is so long in that phase, or past it; the phase it is in, None where it has ended."""
        while self.process.poll() is None:
            now, since = self.seen[-1]
            reached = now == phase and time.monotonic() - since >= seconds
            if reached or _order(now) > _order(phase):
                return now
            time.sleep(0.02)
        return None

    def kill(self, group: bool) -> None:
        os.killpg(self.process.pid, signal.SIGKILL) if group else self.process.kill()
        self.process.wait()

    def alive(self) -> list[psutil.Process]:
        """Whatever of it still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def finish(self) -> int:
        code = self.process.wait()
        self.reader.join(10)
        return code


def _order(phase: str) -> str:
    return "" if phase == STARTING else phase


def plan(durations: dict[str, float], kills: int, rng: random.Random) -> list[Kill]:
    """The kills in the order of their phases: one for each phase, the others by how long the phases take."""
    phases = list(durations)
    chosen = rng.sample(phases, min(kills, len(phases)))
    chosen += rng.choices(phases, list(durations.values()), k=kills - len(chosen))
    drawn = [Kill(phase, rng.random(), rng.random() < 0.5) for phase in chosen]
    return sorted(drawn, key=lambda kill: (_order(kill.phase), kill.share))


def disturbed(kill: Kill, seconds: float, options: list[str], output: Path, log: Path) -> dict[str, object]:
    """Start, kill at the moment, and look at what is left: a row of the report."""
    run = Run(options, output, log)
    phase = run.wait_for(kill.phase, kill.share * seconds)
    if phase is None:  # it has ended before, as it may where little was left to do
        return asdict(kill) | {"killed": False, "code": run.finish()}
    run.kill(kill.group)
    end = time.monotonic() + PATIENCE
    while (orphans := run.alive()) and time.monotonic() < end:
        time.sleep(0.2)
    names = [" ".join(process.cmdline())[:80] for process in orphans]
    for process in orphans:
        process.kill()
    return asdict(kill) | {"phase": phase, "killed": True, "orphans": len(names), "who": "; ".join(names),
                           "left": len(leftovers(output))}


def leftovers(folder: Path) -> list[Path]:
    """What killed processes left half-written."""
    return [Path(place, name) for place, folders, files in os.walk(folder) for name in [*folders, *files]
            if is_left(name)]


def durations_of(run: Run) -> dict[str, float]:
    """How long each phase of a run took that has just ended."""
    times = [*(at for _, at in run.seen), time.monotonic()]
    return {phase: later - at for (phase, at), later in zip(run.seen, times[1:], strict=True)}


def differences(one: Path, other: Path) -> Iterator[str]:
    """Each table that the two folders do not share, or not alike."""
    names = sorted({p.relative_to(folder) for folder in (one, other) for p in folder.rglob("*.csv")
                    if not {"cache", ".jupyter"} & set(p.relative_to(folder).parts)})
    for name in names:
        if not ((one / name).is_file() and (other / name).is_file()):
            yield f"{name}: only in one"
        elif _table(one, name) != _table(other, name):
            yield f"{name}: differs"


def _table(folder: Path, name: Path) -> str:
    text = (folder / name).read_text().replace(str(folder), "")
    try:
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        return text
    if set(VOLATILE) & set(table):
        return table.drop(columns=[c for c in VOLATILE if c in table]).to_csv()
    return text


def undisturbed(options: list[str], folder: Path) -> dict[str, float]:
    """Make the run to compare with, unless it is there; how long its phases took."""
    kept = folder / "phases.csv"
    if not kept.is_file():
        run = Run(options, folder / "undisturbed", folder / "undisturbed.log")
        if code := run.finish():
            raise SystemExit(f"the undisturbed run ended with {code}: {folder / 'undisturbed.log'}")
        pd.DataFrame(durations_of(run).items(), columns=["phase", "seconds"]).to_csv(kept, index=False)
    return dict(pd.read_csv(kept).itertuples(index=False))


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("python -m tests.fuzz.kills", description=__doc__.splitlines()[0])
    p.add_argument("--kills", type=int, default=10)
    p.add_argument("--profile", default="smoke")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--folder", type=Path, default=Path("runs/kills"))
    options, more = p.parse_known_args(argv)
    more = ["--profile", options.profile, *more]
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    durations = undisturbed(more, folder)
    killed = folder / f"killed-{options.seed}"
    rows = []
    for kill in plan(durations, options.kills, random.Random(options.seed)):
        rows.append(disturbed(kill, durations[kill.phase], more, killed, folder / "killed.log"))
        print(" ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
        pd.DataFrame(rows).to_csv(folder / "kills.csv", index=False)
    code = Run(more, killed, folder / "killed.log").finish()
    found = [f"the last run ended with {code}"] if code else []
    found += differences(folder / "undisturbed", killed)
    found += [f"left: {path.relative_to(killed)}" for path in leftovers(killed)]
    verified = subprocess.run([sys.executable, "-m", "lewm_core", "verify", str(killed)], cwd=ROOT, text=True,
                              capture_output=True)
    if verified.returncode:
        found.append(verified.stdout + verified.stderr)
    table = pd.DataFrame(rows).assign(kills=1).groupby("phase", sort=True)
    print(table[["kills", "killed", "group", "orphans", "left"]].sum().astype(int).to_string())
    bad = found + [f"orphans in {row['phase']}: {row['who']}" for row in rows if row.get("orphans")]
    print("\n".join(bad) or f"{sum(row['killed'] for row in rows)} kills: no orphan, every table as undisturbed, every "
          "checksum right, nothing left")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
