"""The section of docs/speed.md that bench_scale writes, from its two tables."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks import public_table

PARTS = {  # part -> its heading, what an item is, what is read
    "metadata": ("Index", "episode", "Of each episode of RLDS shards the instruction and its length. Ours and "
                 "TensorFlow compare all data with their checksums, tfrecord none."),
    "episodes": ("Episodes", "episode", "All frames of one camera at their own 256 px, actions and states, from the "
                 "same shards."),
    "lerobot": ("LeRobot episodes", "episode", "The same from a LeRobot dataset of format 3.0. lerobot gives frame "
                "after frame, as its data loader asks for them; pyarrow and av read table and video from their "
                "beginning, and could not give a single episode without reading all before it."),
    "windows": ("Windows", "window", "Four frames of 64 px and their actions at random, in batches of 16, from a file "
                "of 100 episodes."),
}
MEASURES = {
    "fingerprint": "16 bytes a record: what names the data",
    "index": "every episode's metadata, all of its data verified",
    "index, read again": "the same from the index that was kept",
    "curation": "filter, measurements, scores, selection; without extraction",
    "curation, once more": "with the measurements that were kept",
    "packing": "a dataset file of frames of 16 px",
    "windows, frames in memory": "the file checked and read, 2,000 batches",
    "windows, frames on disk": "the file checked, 2,000 batches read from it",
}


def about(load: list[float]) -> dict[str, object]:
    """When, where and by what the rows were made; how busy the machine was meanwhile."""
    return public_table.about() | {"load": f"{min(load):.1f} to {max(load):.1f}"}


def section(folder: Path) -> str:
    lines = ["## Readers at scale", ""]
    for name, part in (("scale.csv", _readers), ("scale_full.csv", _full)):
        if (folder / name).exists():
            lines += part(pd.read_csv(folder / name))
    return "\n".join(lines)


def _made(table: pd.DataFrame, file: str) -> str:
    row = table.iloc[0]
    return (f"{row['date']}, commit {row['commit']}. {row['machine']}; processes waiting for it meanwhile (load): "
            f"{row['load']}. {row['versions']}. "
            f"The numbers: [{file}]({file}).")


def _readers(table: pd.DataFrame) -> Iterator[str]:
    yield from ("Each reader beside the format's own library: processes with one core each, in turns, on a warm disk. "
                "Times: CPU time over that of the first row, median and range of the passes; above 1, ours is faster. "
                "Bytes and calls as the kernel counts them; a jump is a read that does not begin where the last one of "
                "that file ended (maps are none). Peak: memory above what the opened reader held.",
                "", _made(table, "scale.csv"))
    for part, (title, item, text) in PARTS.items():
        rows = table[table.part == part]
        if rows.empty:
            continue
        yield from ("", f"### {title}", "", text, "",
                    f"| reader | CPU, ms/{item} | wall, ms | read, kB | calls | jumps | peak, MB | **times** |",
                    "|---|---|---|---|---|---|---|---|")
        for row in rows.itertuples():
            if isinstance(row.absent, str) and row.absent:
                yield f"| {row.reader} | {row.absent} | | | | | | |"
                continue
            times = f"**{row.ratio:.2f}** ({row.low:.2f}–{row.high:.2f})" if row.reader != "ours" else ""
            named = f"{row.reader} ({row.libraries})" if not row.reader.startswith("ours") else row.reader
            cells = (f"{row.cpu:.3g}", f"{row.wall:.3g}", f"{row.bytes:.4g}", f"{row.reads:.3g}", f"{row.jumps:.3g}",
                     f"{row.peak:.0f}", times)
            yield f"| {named} | {' | '.join(cells)} |"


def _full(table: pd.DataFrame) -> Iterator[str]:
    sizes = sorted(table.n.unique())
    yield from ("", "### The whole of it", "",
                "BridgeData V2's 60,096 episodes in 1,152 shards, each record as large as the release's: the real "
                "sample's, enlarged. Each cell: seconds of CPU time, and the most memory above what the process began "
                "with. Memory of an episode: by how much that grows from the least to the most of them.",
                "", _made(table, "scale_full.csv"), "",
                f"| | {' | '.join(f'{n:,} episodes' for n in sizes)} | an episode: CPU, ms | read, kB | memory, kB |",
                "|---" * (len(sizes) + 4) + "|")
    for measure, what in MEASURES.items():
        rows = table[table.measure == measure].set_index("n")
        if rows.empty:
            continue
        cells = [f"{rows.cpu[n]:.3g} s, {rows.peak[n]:.0f} MB" if n in rows.index else "" for n in sizes]
        least, most = rows.iloc[0], rows.iloc[-1]
        more = most.name - least.name
        each = f"{1e3 * (most.peak - least.peak) / more:.2g}" if more else ""
        yield (f"| {measure}: {what} | {' | '.join(cells)} | {1e3 * most.cpu / most.name:.3g} | "
               f"{most.bytes / most.name / 1e3:.3g} | {each} |")
