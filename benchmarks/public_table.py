"""The table of compare_public: rows of paired measurements, kept as CSV, shown in a page of docs/.

One row is one measure under one setting: the medians of both sides and, of the pairs, how many times better ours is.
"""

import platform
import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import speed_page
from lewm_core.utils.files import write_csv
from lewm_core.utils.provenance import revision, usable_cores, versions

KEYS = ("peer", "model", "px", "condition", "threads", "precision", "device")
NUMBERS = ("public", "ours", "ratio", "low", "high")
ABOUT = ("date", "commit", "machine", "versions")
COLUMNS = ("part", *KEYS, "measure", "unit", *NUMBERS, "n", *ABOUT)
LIBRARIES = ("stable-worldmodel", "stable-pretraining", "transformers", "pylance", "torch", "torchvision", "timm",
             "numpy", "h5py")
PARTS = {  # part -> its heading, and what is compared in it
    "step": ("A training step", """\
Both sides take the same weights, the same windows of frames that lie in memory as uint8 (16 windows of four), the same
learning rate, and take turns step by step in one process; who is first alternates. A step is: gather the frames and
normalise them, forward, losses, backward, clipping, AdamW. Public: the package's model and SIGReg, `torch.optim.AdamW`
as it comes. Ours: the steps that `lewm_core.train` takes (`lewm_core.steps`; on a GPU one recorded graph). B is ours
on both sides: the public model has no depth head, so it gets our head and our loss on its embedding, that the work be
the same. bf16 is autocast around forward and losses, as the public trainer has it (its default); on a CPU our own
default is fp32."""),
    "curve": ("Loss curves", """\
The total loss of both sides over the same steps, without dropout (whose masks are drawn in another order), SIGReg's
directions from the same seed. Times: public over ours, median and range over the steps. At bf16 the public loss itself
is rounded to eight bits (0.4 %), ours is computed in full precision from the same latents."""),
    "memory": ("Peak memory", """\
Greatest resident memory of a process of its own that does nothing but a few steps; of it, what came after its imports
(of B on the public side: those of our head, too); on a GPU the greatest that torch held there."""),
    "start": ("Start", """\
From the start of a process to the end of its first training step: imports, model, optimizer, frames made in memory.
Public: without its trainer and its configuration, which take longer."""),
    "data": ("Data path", """\
Random batches of 16 windows, as normalised float32 tensors on the CPU, from a file that the operating system has
cached; one process, no workers. Public: a DataLoader over its reader, on a file that its own writer wrote (Lance keeps
JPEGs, the others pixels). Ours: the dataset's contract checked, all of it read into memory (`dataset.load`, `Frames`),
windows gathered from there. The first epoch includes opening and reading; a later one does not."""),
}
Row = dict[str, object]


def compared(key: Row, measure: str, unit: str, public: Sequence[float], ours: Sequence[float],
             more_is_better: bool = False) -> Row:
    """A row from paired measurements: medians of each side; of the pairs' ratios the median and the range.

    key: part and those of KEYS that tell it from others. The ratio is how many times better ours is: above 1, ours is.
    """
    public, ours = np.asarray(public, float), np.asarray(ours, float)
    ratios = ours / public if more_is_better else public / ours
    numbers = np.median(public), np.median(ours), np.median(ratios), ratios.min(), ratios.max()
    return {**key, "measure": measure, "unit": unit, **dict(zip(NUMBERS, map(float, numbers), strict=True)),
            "n": len(ratios)}


def machine() -> str:
    """Processor, cores and memory, and the GPU where torch sees one; no names of hosts."""
    import psutil
    import torch

    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    name = found[1] if found else platform.processor() or platform.machine()
    parts = [f"{name}, {usable_cores()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"]
    return ", ".join(parts + ([torch.cuda.get_device_name(0)] if torch.cuda.is_available() else []))


def about() -> Row:
    """When, where and by which code and libraries rows of today are made."""
    commit, dirty = revision()
    said = f"{(commit or 'unknown')[:10]}{' with local changes' if dirty else ''}"
    found = {"Python": platform.python_version(), **versions(*LIBRARIES)}
    return {"date": date.today().isoformat(), "commit": said, "machine": machine(),
            "versions": ", ".join(f"{name} {version}" for name, version in found.items() if version)}


def merge(old: pd.DataFrame | None, rows: Iterable[Row]) -> pd.DataFrame:
    """`old` with the rows of the same part, key and measure replaced, in the order of PARTS."""
    new = pd.DataFrame(list(rows)).reindex(columns=COLUMNS)
    table = new if old is None else pd.concat([old.reindex(columns=COLUMNS), new])
    text = ["part", "peer", "model", "condition", "precision", "device", "measure"]
    table[text] = table[text].astype(object).where(table[text].notna(), "")
    table[["px", "threads"]] = table[["px", "threads"]].astype("Int64")
    table = table.drop_duplicates(["part", *KEYS, "measure"], keep="last")
    order = table.part.map(list(PARTS).index)
    return table.assign(order=order).sort_values(["order", *KEYS], kind="stable").drop(columns="order")


def cell(row: pd.Series) -> str:
    """Both medians and, in bold, how many times better ours is, with the range of the pairs."""
    digits = 6 if row.part == "curve" else 2
    spread = f" ({row.low:.{digits}f}–{row.high:.{digits}f})" if row.n > 1 else ""
    return f"{row.public:.4g} / {row.ours:.4g}, **{row.ratio:.{digits}f}**{spread}"


def part_table(table: pd.DataFrame) -> list[str]:
    """The rows of one part as Markdown: a line for each key, a column for each measure."""
    shown = [key for key in KEYS if (table[key].notna() & (table[key].astype(str) != "")).any()]
    titles = {m: f"{m}, {unit}: public / ours, **times**" for m, unit in zip(table.measure, table.unit, strict=True)}
    lines = ["| " + " | ".join([*shown, *titles.values(), "n"]) + " |", "|---" * (len(shown) + len(titles) + 1) + "|"]
    for key, rows in table.groupby(shown, sort=False, dropna=False):
        cells = {row.measure: cell(row) for row in rows.itertuples()}
        n = "–".join(map(str, sorted(set(rows.n.astype(int)))))
        named = ["–" if pd.isna(part) else str(part) for part in key]
        lines.append("| " + " | ".join([*named, *(cells.get(m, "–") for m in titles), n]) + " |")
    return lines


def section(table: pd.DataFrame) -> str:
    """The whole table as Markdown."""
    lines = ["## Against the public code", "", """\
The public LeWM (`stable-worldmodel`) and ours in one run. Each cell: median of the public one, median of ours, and in
bold how many times better ours is, the median of the pairs (and their range); above 1, ours is better. Where pairs are
few, or the machine was busy, the range says so. The same numbers: [compare_public.csv](compare_public.csv)."""]
    for (day, commit, where, what), rows in table.groupby(list(ABOUT), sort=False):
        lines += ["", f"- {day}, commit {commit}: {', '.join(dict.fromkeys(rows.part))}. {where}. {what}."]
    for part, (title, text) in PARTS.items():
        rows = table[table.part == part]
        if len(rows):
            lines += ["", f"### {title}", "", text, "", *part_table(rows)]
    return "\n".join(lines)


def write(folder: Path, rows: Iterable[Row]) -> pd.DataFrame:
    """Merge `rows` into folder/compare_public.csv and rewrite that section of folder/speed.md; nothing else of it."""
    path = folder / "compare_public.csv"
    table = merge(pd.read_csv(path) if path.exists() else None, rows)
    write_csv(path, table)
    speed_page.put(folder, "compare_public", section(table))
    return table
