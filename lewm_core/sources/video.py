"""The frames of an mp4 video, one after another."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from lewm_core.sources.pictures import MOST_PIXELS, check_pixels
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

_REMEDY = "Is it an mp4 file? ffmpeg -i IN OUT.mp4 makes one. Otherwise copy it again."


def frames(file: Path) -> Iterator[np.ndarray]:
    """Every frame (H, W, 3) uint8 RGB in the order in which they are shown; nothing is left out or turned."""
    av = _av()
    try:
        # mp4: no playlist, which could name other files. The limit holds where opening looks at the first frames, too.
        with av.open(str(regular(file)), format="mp4", options={"max_pixels": str(MOST_PIXELS)}) as container:
            stream = container.streams.video[0]
            check_pixels(str(file), stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            for frame in container.decode(stream):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError, OSError) as error:
        raise InputError(file, f"a video that cannot be read ({error})", "an mp4 file with a video in it",
                         _REMEDY) from None


def count(file: Path) -> int:
    """How many frames a video has, by its packets; none is decoded."""
    av = _av()
    try:
        with av.open(str(regular(file)), format="mp4", options={"max_pixels": str(MOST_PIXELS)}) as container:
            return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise InputError(file, f"a video that cannot be read ({error})", "an mp4 file with a video in it",
                         _REMEDY) from None


def _av() -> ModuleType:
    try:
        return import_module("av")
    except ImportError as error:
        raise InputError("videos", f"no av ({error})", "the package av", "pip install -e .[lerobot], or av alone, or "
                         "give folders of pictures instead of videos.") from None
