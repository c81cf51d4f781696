"""Sliders for the weights and the main limits of `Criteria`, for the curation browser."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import ipywidgets as widgets
import numpy as np
import pandas as pd

from lewm_core.curation.score import PARTS, Criteria

SLIDERS = {  # control -> the field, or the least and the greatest, that it sets; its ends (widened if need be) and step
    **{f"weight_{part}": ((f"weight_{part}",), 0.0, 5.0, 0.1) for part in PARTS},
    "length": (("min_length", "max_length"), 1, 120, 1),
    "motion, px": (("min_motion",), 1.0, 200.0, 1.0),
    "coverage": (("min_coverage", "max_coverage"), 0.0, 1.0, 0.01),
    "variation": (("max_variation",), 0.05, 3.0, 0.05),
    "depth range": (("min_depth_range",), 1.05, 10.0, 0.05),
}
SIGNAL = {"motion": "motion", "coverage": "variation", "stability": "variation", "depth": "depth"}  # what a part needs
STYLE, LAYOUT = {"description_width": "84px"}, {"width": "310px"}


def sliders(criteria: Criteria, without: Collection[str] = ()) -> dict[str, widgets.Widget]:
    """A slider by name, set to `criteria`; those of the weights of the parts in `without` are disabled."""
    found = {}
    for name, (fields, low, high, step) in SLIDERS.items():
        values = [getattr(criteria, field) for field in fields]
        kinds = (widgets.FloatSlider, widgets.FloatRangeSlider, widgets.IntRangeSlider)
        kind = kinds[len(fields) - 1 + isinstance(low, int)]
        found[name] = kind(value=_value(values), min=min(low, *values), max=max(high, *values), step=step, style=STYLE,
                           layout=LAYOUT, description=name.removeprefix("weight_"), tooltip=", ".join(fields),
                           disabled=name.removeprefix("weight_") in without and name.startswith("weight_"))
    return found


def parts_without_signal(measurements: pd.DataFrame) -> set[str]:
    """The parts of the score that no episode has, for lack of a signal."""
    return {part for part, start in SIGNAL.items() if not any(c.startswith(start) for c in measurements)}


def read(controls: Mapping[str, widgets.Widget], start: Criteria) -> Criteria:
    """`start` with what the sliders say. InputError where that is no criteria (all weights 0, say)."""
    changes = {}
    for name, (fields, *_) in SLIDERS.items():
        changes |= dict(zip(fields, np.atleast_1d(controls[name].value).tolist(), strict=True))
    return replace(start, **changes)


def put(controls: Mapping[str, widgets.Widget], criteria: Criteria) -> None:
    """Set the sliders to `criteria`."""
    for name, (fields, *_) in SLIDERS.items():
        controls[name].value = _value([getattr(criteria, field) for field in fields])


def _value(values: list[float]) -> float | tuple[float, float]:
    return values[0] if len(values) == 1 else tuple(values)
