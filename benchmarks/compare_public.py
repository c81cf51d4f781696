"""The public LeWM (stable-worldmodel) and ours in one run: speed, equality, memory, start, data path.

    pip install -e .[compare] -c constraints.txt          the public code, into an environment of its own
    ./run_all.sh bench compare_public [--only step,curve,memory,start,data] [--pairs N] [--size PX,..] [--output DIR]

Writes compare_public.csv and its section of speed.md, both in docs/ unless --output says otherwise; rows that a call
does not measure stay. Skips, and says why, where the public code is not installed. Wants Linux and an idle machine; all
of it takes about two hours on two cores, nearly all of that at 224 px.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks import public_table
from benchmarks.public_side import absent, libraries, prepare

ROOT = Path(__file__).resolve().parents[1]
SIZES = (56, 64, 112, 224)
ENDS = (64, 224)  # where start and data path are measured: they change little between
CURVE, MEMORY, STARTS = 50, 3, 5  # steps of a curve, steps of a process whose memory is measured, pairs of starts


def listed(kind: type, known: tuple) -> dict:
    """What argparse needs for an option that takes several of `known`, separated by commas; all by default."""

    def parse(text: str) -> tuple:
        values = tuple(kind(word) for word in text.split(","))
        if unknown := [value for value in values if value not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(map(str, known))}")
        return values

    return {"type": parse, "default": known, "metavar": ",".join(map(str, known))}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("./run_all.sh bench compare_public", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    p.add_argument("--only", help="only these parts", **listed(str, tuple(public_table.PARTS)))
    p.add_argument("--size", help="only these frame sizes; 64 is the small model, the others the paper's",
                   **listed(int, SIZES))
    p.add_argument("--condition", help="only these", **listed(str, ("A", "B")))
    p.add_argument("--threads", help="only these; not on a GPU", **listed(int, (1, 2)))
    p.add_argument("--precision", help="only these", **listed(str, ("fp32", "bf16")))
    p.add_argument("--pairs", type=int, default=20, metavar="N", help="pairs of steps, and of epochs (default 20)")
    p.add_argument("--starts", type=int, default=STARTS, metavar="N", help=f"pairs of starts (default {STARTS})")
    p.add_argument("--steps", type=int, default=CURVE, metavar="N", help=f"steps of a curve (default {CURVE})")
    p.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR", help="where the table goes")
    return p


def measurements(options: argparse.Namespace, scratch: Path) -> Iterator[tuple]:
    """All that is asked for, one after another, as `public_table.compared` takes it. The cheap sizes come first."""
    from benchmarks import public_data, public_pairs, public_process
    from benchmarks.public_pairs import Setting

    on_gpu = public_pairs.default_device() == "cuda"
    threads = (1,) if on_gpu else options.threads
    for px, part in product(sorted(options.size), options.only):
        if part == "data" and px in ENDS:
            (scratch / str(px)).mkdir()
            yield from public_data.measure_data(px, options.pairs, scratch / str(px))
        if part == "start" and px in ENDS:
            yield from public_process.measure_start(Setting(px, threads=threads[0]), options.starts, str(scratch))
        for name, precision in product(options.condition, options.precision):
            if part == "memory":
                setting = Setting(px, name, threads[0], precision)
                yield from public_process.measure_memory(setting, MEMORY, str(scratch))
            if part == "curve":
                yield from public_pairs.measure_curve(Setting(px, name, threads[-1], precision), options.steps)
            for n in threads if part == "step" else ():
                yield from public_pairs.measure_step(Setting(px, name, n, precision), options.pairs)


def main(argv: list[str] | None = None) -> int:
    """Measure what `argv` asks for; the table is written after each measurement, so that a stop loses only the last."""
    options = parser().parse_args(argv)
    if reason := absent():
        print(f"Skipped: the public code is {reason}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        prepare(scratch)
        libraries()
        made = public_table.about()
        for measured in measurements(options, Path(scratch)):
            row = public_table.compared(*measured, more_is_better=measured[0]["part"] == "data") | made
            public_table.write(options.output, [row])
            print(*(row[name] for name in ("part", *public_table.KEYS, "measure", "unit") if row.get(name)),
                  *(f"{name} {row[name]:.4g}" for name in public_table.NUMBERS), f"n {row['n']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
