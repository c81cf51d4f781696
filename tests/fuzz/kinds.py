"""The kinds of input: what the undamaged one is, the ways in, what befalls it, and whether damage can be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzz import arguments, containers, documents, doors, episodes, inputs, planted, study, tables, weights
from tests.fuzz.cases import Damage, Door, Mutation, Place
from tests.fuzz.damage import BYTES, FILES, within


def never(file: str, forged: bool) -> bool:
    """No checksum, and written by others."""
    return False


def always(file: str, forged: bool) -> bool:
    """We wrote it, and are to know it again."""
    return True


def ends(*suffixes: str) -> Callable[[str, bool], bool]:
    """Files of these names have a checksum, which a mere accident does not make fit."""
    return lambda file, forged: not forged and file.endswith(suffixes)


@dataclass(frozen=True)
class Kind:
    """make: writes the undamaged input into an empty folder. doors: the ways in, the cheapest first.

    mutations: one that can go many ways stands there several times. signed: (file, forged) -> whether a change of that
    file can be told. asks: whether errors need not name a file.
    """

    make: Callable[[Path], None]
    doors: Mapping[str, Door]
    mutations: Mapping[str, Mutation]
    signed: Callable[[str, bool], bool] = never
    asks: bool = False


def untouched(_: Place) -> Damage:
    return Damage("nothing")


def nothing(_: Path) -> None:
    """For kinds of input that are no files."""


def kinds(root: Path) -> dict[str, Kind]:
    """Every kind by name. root: folder that holds, or will hold, the undamaged inputs in folders of these names."""
    any_file = BYTES | FILES
    shards = ("-of-00001", "-of-00002")
    on_bridge = doors.source(doors.bridge) | doors.plan_of("bridge") | doors.study("bridge")
    on_folder = doors.source(doors.folder) | doors.plan_of("folder") | doors.study("folder") | doors.inspected()
    on_lerobot = doors.source(doors.lerobot) | doors.plan_of("lerobot") | doors.study("lerobot") | doors.inspected() | {
        "import": doors.imported}
    info = {"info": documents.json_value("info.json", ".parquet"),
            "info again": documents.json_value("info.json", ".mp4"),
            "metadata": documents.json_value(".json")}
    declared = {"declared": documents.json_value("dataset_info.json"), "encoding": documents.encoding(".json")}
    on_hdf5 = doors.hdf5(root / "safetensors" / "model.safetensors")
    on_weights = doors.weights(root / "hdf5" / "squares.h5")
    config = {"config": documents.json_value("config.json"), "config again": documents.json_value("config.json")}
    return {
        "raw": Kind(inputs.raw, on_bridge, any_file | episodes.RAW),
        "rlds": Kind(inputs.rlds, on_bridge, any_file | episodes.RLDS | declared, ends(*shards)),
        "openx": Kind(inputs.openx, on_bridge, any_file | episodes.OPENX, ends(*shards)),
        "numpy": Kind(inputs.numpy_form, on_bridge, any_file | episodes.NUMPY),
        "folder": Kind(inputs.recordings, on_folder, any_file | {
            "encoding": documents.encoding(".csv"), "cell": documents.csv_cell(".csv")}),
        "lerobot2": Kind(partial(inputs.lerobot, version="v2.1"), on_lerobot, any_file | tables.LEROBOT | info | {
            "line": documents.json_line()}),
        "lerobot3": Kind(partial(inputs.lerobot, version="v3.0"), on_lerobot, any_file | tables.LEROBOT | info),
        "hdf5": Kind(inputs.hdf5, on_hdf5, any_file | containers.HDF5, ends(".h5")),
        "foreign": Kind(inputs.foreign_hdf5, on_hdf5, any_file | containers.HDF5),
        "safetensors": Kind(inputs.safetensors, on_weights, any_file | weights.SAFETENSORS, ends(".safetensors")),
        "torch": Kind(inputs.torch_file, on_weights, any_file | weights.TORCH | config, ends(".pt")),
        "lightning": Kind(inputs.lightning, on_weights, any_file | weights.TORCH | config, ends(".ckpt")),
        "export": Kind(inputs.exported, on_weights, any_file | weights.SAFETENSORS | config, ends("model.safetensors")),
        "runs": Kind(study.runs, study.RUNS, any_file, always),
        "stamps": Kind(study.stamps, {"again": study.reused}, study.after_a_run(any_file), always),
        "caches": Kind(study.cached, {"again": study.from_caches}, within("work", any_file),
                       lambda file, _: "selection.csv" not in file),  # which a person may edit
        "interrupted": Kind(study.unfinished, {"again": study.went_on}, study.INTERRUPTED, always),
        "arguments": Kind(arguments.make, {"call": arguments.call}, arguments.ARGUMENTS, asks=True),
        "profile": Kind(arguments.profile, {"plan": arguments.planned}, BYTES | documents.YAML_FILE, asks=True),
        "planted": Kind(planted.make, {"plant": planted.door}, planted.PLANTS, lambda _, forged: not forged),
        "pickle": Kind(inputs.pickled, {"load": doors.pickled}, BYTES | episodes.PICKLES),
    }
