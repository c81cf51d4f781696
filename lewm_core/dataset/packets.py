"""Episodes of a dataset with their signals, as the source and the backends gave them, for whoever draws them."""

from collections.abc import Iterable

from lewm_core.dataset.data import Data
from lewm_core.signals.extraction import ARRAYS, Packet, Signals
from lewm_core.sources.episode import Episode

FLAGS = ("mask", "visible", "visible_fg", "centroid_valid", "shape_valid")  # uint8 in the file


def packets(data: Data, ids: Iterable[str]) -> dict[str, Packet]:
    """The episodes called `ids` and their signals, by name. InputError for an unknown one."""
    return {id: _packet(data, id) for id in ids}


def _packet(data: Data, id: str) -> Packet:
    number = int(data.numbers([id])[0])
    frames = data.episode(number)
    arrays = {name: data[name][frames] if name in data.columns else None for name in ARRAYS}
    for name in FLAGS:
        if arrays[name] is not None:
            arrays[name] = arrays[name].astype(bool)
    made_by, missing = data.made.get("made_by", {}), data.missing(ARRAYS)
    episode = Episode(id, data["pixels"][frames], data["action"][frames], data["observation"][frames],
                      str(data["task"][number]))
    return episode, Signals(episode=id, **arrays, made_by=made_by, missing=missing)
