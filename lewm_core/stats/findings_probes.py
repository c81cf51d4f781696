"""What notebook 06 found of the CLS token, in sentences that are true whatever the numbers are (see `findings`)."""

import pandas as pd

from lewm_core.stats.findings import not_run
from lewm_core.stats.paired import SPLITS, describe, judged, number, paired_change, summarise
from lewm_core.stats.power import can_show, power_table

NO_TRACKS = ["Not run: there are no tracks, or no held-out episodes to judge by."]
NOTHING = 0.05  # R² up to which a probe recovers too little to compare
LAYOUTS = ("D", "D-fg")  # tracks of a uniform grid, and with most queries on the object


def recovered(probes: pd.DataFrame) -> list[str]:
    """What a linear probe of A recovers of each signal from each kind of token. probes: `probe_study.probe_models`."""
    means = _linear(probes).groupby(["target", "tokens"], sort=False).r2.mean().unstack("tokens", sort=False)
    lines = []
    for target, r2 in means.iterrows():
        each = ", ".join(f"{_plain(value)} from {tokens}" for tokens, value in r2.items())
        lines.append(f"{target}: R² is {each} (patch − CLS: {number(r2['patch'] - r2['CLS'], 2)}).")
    return lines or ["Not run: there is no signal to probe, or no held-out episodes to judge by."]


def bottleneck(probes: pd.DataFrame) -> list[str]:
    """Whether CLS lacks more of the tracks than of the depth that the patch tokens have."""
    r2 = _linear(probes).pivot(index=["seed", "target"], columns="tokens", values="r2")
    if not {"depth", "tracks"} <= set(r2.index.get_level_values("target")):
        return ["Without both depth and tracks the two gaps cannot be compared."]
    gaps = (r2["patch"] - r2["CLS"]).unstack("target")
    larger = (gaps["tracks"] > gaps["depth"]).sum()
    return [f"The gap patch − CLS is {number(gaps['tracks'].mean(), 2)} for tracks and "
            f"{number(gaps['depth'].mean(), 2)} for depth. It is larger for tracks in {larger} of {len(gaps)} seeds."]


def token_or_target(probes: pd.DataFrame) -> list[str]:
    """Which of two things tracks lack: more tokens, or the first frame. probes: `probe_study.probe_first_frame`."""
    if probes.empty:
        return NO_TRACKS
    r2 = probes.groupby("tokens", sort=False).r2.mean()
    token, first = r2["patch"] - r2["CLS"], r2["CLS + first frame"] - r2["CLS"]
    if (r2 <= NOTHING).all():
        verdict = f"No R² exceeds {NOTHING}. That is too little to tell the two apart."
    elif first > token:
        verdict = "Of the two, the missing first frame weighs more."
    else:
        verdict = "Of the two, the token weighs more."
    return [f"From the CLS token of one frame R² is {_plain(r2['CLS'])}. More tokens of the same frame change it by "
            f"{number(token, 2)}, the CLS token of the first frame by {number(first, 2)}. With the patch tokens of "
            f"both frames it is {_plain(r2['patch + first frame'])}.", verdict]


def track_layouts(results: pd.DataFrame, skipped: pd.DataFrame) -> list[str]:
    """D and D-fg against A, and D-fg against D, at each scale, paired by seed; and what was not run."""
    lines = []
    for scale, rows in results.groupby("scale", sort=False):
        for baseline, others in (("A", LAYOUTS), ("D", LAYOUTS[1:])):
            lines += _against(rows, baseline, others, scale)
        told = skipped[(skipped.scale == scale) & skipped.condition.isin(LAYOUTS)]
        lines += not_run(told)
        absent = [name for name in LAYOUTS if name not in {*rows.condition, *told.condition}]
        lines += [f"Not run at the {scale} scale: {name}." for name in absent]
    return lines


def _against(rows: pd.DataFrame, baseline: str, others: tuple[str, ...], scale: str) -> list[str]:
    present = [name for name in others if name in set(rows.condition)]
    if not present or baseline not in set(rows.condition):
        return []
    changes = judged(paired_change(rows[rows.condition.isin([baseline, *present])], "mse", SPLITS, baseline))
    power = power_table(changes).set_index("condition")
    lines = []
    for row in summarise(changes).itertuples():
        found = describe(row).removeprefix(f"{row.condition}: ")
        able = can_show(power.loc[row.condition]).capitalize()
        lines.append(f"{scale}, {row.condition} against {baseline}: {found}. {able}.")
    return lines


def against_floors(floors: pd.DataFrame | None) -> list[str]:
    """In how many runs a track head beats predictions that look at nothing.

    floors: `capacity.head_floors`; None where nothing was measured.
    """
    groups = [] if floors is None else floors.groupby(["scale", "condition"], sort=False)
    lines = []
    for (scale, name), rows in groups:
        still, mean = (rows["head"] < rows["no motion"]).sum(), (rows["head"] < rows["training mean"]).sum()
        lines.append(f"{scale}, {name}: the head beats 'no motion' in {still} of {len(rows)} seeds, and the training "
                     f"mean in {mean}.")
    return lines or ["No run of D or D-fg was judged on episodes that it never saw."]


def _plain(value: float) -> str:
    """Two digits, with a sign only below zero."""
    return number(value, 2).lstrip("+")


def _linear(probes: pd.DataFrame) -> pd.DataFrame:
    return probes[(probes.condition == "A") & (probes.probe == "linear")]
