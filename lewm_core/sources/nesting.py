"""How deep containers are nested: Python recurses into them when it compares, prints or converts them."""

from collections.abc import Iterable

import numpy as np

DEPTH = 50  # containers, one in the other
_CONTAINERS = (dict, list, tuple, np.ndarray)


def deeper(value: object) -> bool:
    """Whether containers are nested deeper than DEPTH, or in a circle; by no recursion."""
    heights: dict[int, int] = {}  # of the containers that were gone through
    path = [(value, iter(_parts(value)), 0)]
    while path:
        container, left, height = path.pop()
        for part in left:
            if isinstance(part, _CONTAINERS):
                known = heights.get(id(part))
                if known is None:
                    path += [(container, left, height), (part, iter(_parts(part)), 0)]
                    break
                height = max(height, known + 1)
        else:
            heights[id(container)] = height
            if path:
                above, rest, so_far = path[-1]
                path[-1] = above, rest, max(so_far, height + 1)
        if len(path) + height > DEPTH:
            return True
    return False


def _parts(value: object) -> Iterable:
    """What a container holds that may be a container."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, np.ndarray):
        return value.ravel() if value.dtype.kind == "O" else ()
    return value if isinstance(value, list | tuple) else ()
