"""The one bar of everything that takes more than a few seconds: how far it is, and the time left, on stderr."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

DELAY = 1.0  # seconds before a bar is shown: what is done by then needs none


def bar(items: Iterable[Any] | None = None, desc: str = "", unit: str = "it", total: int | None = None,
        initial: int = 0, delay: float = DELAY, **options: Any) -> tqdm:
    """`items` with a bar, or one that its caller updates up to `total`.

    desc: what it is doing. unit: what is counted. initial: how many were done before. options: of tqdm.
    """
    return tqdm(items, desc=desc, unit=unit, total=total, initial=initial, delay=delay, file=sys.stderr, mininterval=1,
                smoothing=0.1, **options)
