"""Finished runs and studies on disk with metrics of our choice, for tests of what reads them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lewm_core.config import Recipe
from lewm_core.utils import sealed
from lewm_core.utils.files import digest, write_csv, write_json

RECORD = {"base": "tabletop play", "base_hash": "b0", "data": "tabletop", "recipe": asdict(Recipe()), "steps": 340}


def write_run(folder: Path, rows: pd.DataFrame, **changed: object) -> Path:
    """A finished run, sealed, with the metrics in tidy rows of one run. changed: fields of its record."""
    first = rows.iloc[0]
    metrics: dict[str, dict[str, float]] = {}
    for row in rows.itertuples():
        metrics.setdefault(row.split, {})[row.metric] = float(row.value)
    record = RECORD | {
        "condition": first.condition, "scale": first.scale, "seed": int(first.seed),
        "dataset": f"data of {first.scale}, seed {first.seed}", "episodes": [f"{first.scale} {first.seed} {i}"
                                                                            for i in range(3)],
        "test": [f"test {first.seed}"], "windows": {"train": 200, "episode": 50}, "metrics": metrics}
    if first.condition == "base":
        record["steps"] = 0
    write_json(folder / "result.json", record | changed)
    (folder / "model.safetensors").write_bytes(b"weights")
    sealed.note_folder(folder)
    return folder


def write_study(folder: Path, table: pd.DataFrame, **changed: object) -> Mapping[tuple[str, str, int], Path]:
    """A study's folder with the runs of a tidy table and its tables of results; the folder of each run, by scale,
    condition and seed."""
    found, keyed = {}, []
    for (scale, condition, seed), rows in table.groupby(["scale", "condition", "seed"], sort=False):
        key = digest(scale, condition, str(seed))
        found[scale, condition, int(seed)] = write_run(folder / "runs" / key, rows, **changed)
        keyed.append(rows.assign(run=key))
    for scale, rows in pd.concat(keyed).groupby("scale", sort=False):
        write_csv(folder / f"results_{scale}.csv", rows[["condition", "scale", "seed", "split", "metric", "value",
                                                         "run"]])
    return found
