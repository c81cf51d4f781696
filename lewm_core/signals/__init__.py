"""Signals of an episode: depth, point tracks and object mask, a file a backend, and what follows by geometry."""

from lewm_core.signals.extraction import (
    ARRAYS,
    CLASSICAL,
    FOREGROUND_SHARE,
    GRID,
    PAPER,
    POINTS,
    REGISTRIES,
    RELATIVE_DEPTH,
    SIMULATOR,
    Backends,
    Settings,
    Signals,
    check,
    choose,
    extract,
    foreground_queries,
    grid_queries,
    identity,
    on_gpu,
    on_object,
    usable,
    with_weights,
)

__all__ = [
    "ARRAYS", "CLASSICAL", "FOREGROUND_SHARE", "GRID", "PAPER", "POINTS", "REGISTRIES", "RELATIVE_DEPTH", "SIMULATOR",
    "Backends",
    "Settings", "Signals", "check", "choose", "extract", "foreground_queries", "grid_queries", "identity", "on_gpu",
    "on_object", "usable", "with_weights",
]  # fmt: skip
