"""The controls of the curation browser: sliders for the weights and limits of `Criteria`, menus for `Choice`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import ipywidgets as widgets
import numpy as np
import pandas as pd

from lewm_core.curation.score import PARTS, Criteria
from lewm_core.curation.selection import FULL_BY, PILOT_BY, Choice

SLIDERS = {  # control -> the field, or the least and the greatest, that it sets; its ends (widened if need be) and step
    **{f"weight_{part}": ((f"weight_{part}",), 0.0, 5.0, 0.1) for part in PARTS},
    "length": (("min_length", "max_length"), 1, 120, 1),
    "motion, px": (("min_motion",), 1.0, 200.0, 1.0),
    "coverage": (("min_coverage", "max_coverage"), 0.0, 1.0, 0.01),
    "variation": (("max_variation",), 0.05, 3.0, 0.05),
    "depth range": (("min_depth_range",), 1.05, 10.0, 0.05),
}
SIGNAL = {"motion": "motion", "coverage": "variation", "stability": "variation", "depth": "depth"}  # what a part needs
STYLE = {"description_width": "84px"}
LAYOUT = {"width": "310px", "max_width": "100%"}


def sliders(criteria: Criteria, without: Collection[str]) -> dict[str, widgets.Widget]:
    """A slider by name, set to `criteria`; those of the weights of the parts in `without` are disabled."""
    found = {}
    for name, (fields, low, high, step) in SLIDERS.items():
        values = [getattr(criteria, field) for field in fields]
        part = name.removeprefix("weight_")
        found[name] = _kind(fields, low)(
            value=_value(values), min=min(low, *values), max=max(high, *values), step=step, style=STYLE, layout=LAYOUT,
            description=part, tooltip=", ".join(fields), readout_format=_format(step),
            disabled=name.startswith("weight_") and part in without)
    return found


def _format(step: float) -> str:
    """As many digits as a step has: 1, 0.1, 0.05."""
    return "d" if isinstance(step, int) else f".{len(f'{step:g}'.partition('.')[2])}f"


def panel(controls: Mapping[str, widgets.Widget], *more: widgets.Widget) -> widgets.Widget:
    """The controls of `sliders` and `choices` in columns: weights, limits, how the sets are chosen and `more`."""
    found = list(controls.values())
    weights, limits, sets = found[:len(PARTS)], found[len(PARTS):len(SLIDERS)], found[len(SLIDERS):]
    columns = (("weights", weights), ("limits", limits), ("sets", [*sets, *more]))
    boxes = [widgets.VBox([widgets.HTML(f"<b>{name}</b>"), *column], layout={"max_width": "100%"})
             for name, column in columns]
    return widgets.HBox(boxes, layout={"flex_flow": "row wrap"})


def _kind(fields: Sequence[str], low: float) -> type[widgets.Widget]:
    """One handle for one field, two for its least and greatest; whole numbers where its ends are."""
    if len(fields) == 1:
        return widgets.FloatSlider
    return widgets.IntRangeSlider if isinstance(low, int) else widgets.FloatRangeSlider


def choices(choice: Choice) -> dict[str, widgets.Widget]:
    """A menu by name for how the full set and the pilot are chosen, set to `choice`."""
    found = {}
    for name, known in (("full_by", FULL_BY), ("pilot_by", PILOT_BY)):
        options = [(f"{key}: {words}", key) for key, words in known.items()]
        found[name] = widgets.Dropdown(options=options, value=getattr(choice, name), style=STYLE, layout=LAYOUT,
                                       description=name.replace("_", " "))
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
