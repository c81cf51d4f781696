"""What notebook 07 found, in sentences that are true whatever the numbers are.

Every function takes tidy tables and returns sentences (see `findings`). In tables persistence is called "static".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lewm_core.stats.paired import CONFIDENCE, bounds, interval, number
from lewm_core.stats.proportions import wilson

STATIC = "static"
NOT_ROLLED = ["Not run: no held-out episode is long enough to roll out."]


def _bounds(values: np.ndarray, digits: int) -> str:
    """' [low, high]' of the mean of values (n,), empty for n < 2."""
    return bounds(*interval(values), digits)


def _episodes(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Per model, its distance and that of persistence in its space: rows (episode, step), columns own, persistence.

    Rollouts of one episode are averaged first, so that every episode counts alike. table: as in `ratios`.
    """
    found = {}
    for name, rows in table.groupby("space", sort=False):
        mean = rows.groupby(["episode", "step", "model"]).distance.mean().unstack("model")
        found[name] = mean.rename(columns={name: "own", STATIC: "persistence"})
    return found


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Mean distance to the truth over the mean distance of persistence: a row per model, a column per episode.

    The mean of a row is that ratio of means. Its values are the ratio's linear parts by episode, r + (own − r ×
    persistence) / mean persistence, from whose scatter follows its interval. NaN where nothing moves.

    table: as from `retrieval.rollout_table`: columns space, episode, step, model, distance.
    """
    rows = {}
    for name, distance in _episodes(table).items():
        mean = distance.groupby("episode").mean()
        scale = mean.persistence.mean()
        if scale > 0:
            ratio = mean.own.mean() / scale
            rows[name] = ratio + (mean.own - ratio * mean.persistence) / scale
        else:
            rows[name] = mean.own * np.nan
    return pd.DataFrame(rows).T


def by_step(table: pd.DataFrame) -> pd.DataFrame:
    """`ratios` at each step with its t interval over episodes: columns model, step, n, mean, low, high.

    NaN where nothing moves. table: as in `ratios`.
    """
    rows = []
    for step, part in table.groupby("step"):
        for name, values in ratios(part).iterrows():
            rows.append((name, step, len(values), values.mean(), *interval(values.to_numpy(float))))
    return pd.DataFrame(rows, columns=["model", "step", "n", "mean", "low", "high"])


def distances(table: pd.DataFrame) -> list[str]:
    """Each model's mean distance over that of persistence, with a t interval over episodes. table: as in `ratios`."""
    lines, distance = [], _episodes(table)
    for name, values in ratios(table).iterrows():
        if values.isna().all():
            lines.append(f"**{name}**: nothing moves in these episodes.")
            continue
        low, high = interval(values.to_numpy())
        within = f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) else ""
        mean = distance[name].groupby("episode").mean()
        lines.append(f"**{name}**: {values.mean():.3f}{within}, n = {len(values)}; it is nearer than persistence in "
                     f"{(mean.own < mean.persistence).sum()} of {len(values)} episodes.")
    return lines or NOT_ROLLED


def along_steps(table: pd.DataFrame) -> list[str]:
    """At which steps each model is nearer to the truth than persistence. table: as in `ratios`."""
    lines = []
    for name, distance in _episodes(table).items():
        mean = distance.groupby("step").mean()
        ratio = mean.own / mean.persistence
        first, last = ratio.index.min(), ratio.index.max()
        worse = ratio.index[ratio >= 1]
        if len(worse) == 0:
            where = "it is nearer at every step"
        elif len(worse) == len(ratio):
            where = "it is nearer at no step"
        else:
            where = f"it is nearer at every step but {', '.join(map(str, worse))}"
        lines.append(f"{name} is {ratio[first]:.2f} times as far from the truth as persistence at step {first} and "
                     f"{ratio[last]:.2f} times at step {last}; {where}.")
    return lines or NOT_ROLLED


def compared(table: pd.DataFrame) -> list[str]:
    """The models' mean distances over persistence's, and the difference of the first two, paired by episode.

    table: as in `ratios`.
    """
    values = ratios(table).dropna(how="all")
    if values.empty:
        return NOT_ROLLED
    best = values.mean(axis=1)
    better = int((best < 1).sum())
    who = {0: "no model beats", len(best): "every model beats"}.get(better, "one model beats")
    told = ", ".join(f"{value:.2f} ({name})" for name, value in best.items())
    lines = [f"The mean distance, divided by that of persistence, is {told}: {who} repeating the last frame."]
    if len(values) < 2:
        return lines
    a, b = values.index[:2]
    difference = (values.loc[b] - values.loc[a]).to_numpy()
    line = f"The ratio of {b} minus that of {a} is {number(difference.mean(), 3)}{_bounds(difference, 3)}"
    if len(difference) > 1:
        low, high = interval(difference)
        holds = "includes" if low <= 0 <= high else "excludes"
        line += f" over {len(difference)} episodes, an interval that {holds} 0"
    return [*lines, line + ". This is one run of each; notebooks 03 and 05 compare them over seeds."]


def steadiness(table: pd.DataFrame) -> list[str]:
    """How many retrieved frames are the episode's own, and how often the rollout stays on one frame.

    table: as from `retrieval.stability`, of one scope."""
    means = table.groupby("model", sort=False)[["same_episode", "repeated"]].mean() if len(table) else table
    lines = [f"{name}: {row.same_episode:.0f} % of the retrieved frames are from the episode itself and "
             f"{row.repeated:.0f} % of the transitions stay on one frame." for name, row in means.iterrows()]
    return lines or NOT_ROLLED


def tags(found: Sequence[Sequence[str]]) -> list[str]:
    """How often each tag was given; found: the tags of every rollout (`retrieval.tags`)."""
    counts = pd.Series([tag for each in found for tag in each], dtype=str).value_counts()
    return [f"`{tag}`: {n} of {len(found)} rollouts" for tag, n in counts.items()] or NOT_ROLLED


def decoders(gain: Mapping[str, float]) -> list[str]:
    """How far the decoders are above the mean image on held-out episodes. gain: model -> PSNR minus that image's, dB.
    """
    told = ", ".join(f"{number(value)} dB ({name})" for name, value in gain.items() if np.isfinite(value))
    if not told:
        return ["The decoders were not judged: no held-out frames."]
    return [f"On held-out episodes the decoders' PSNR, minus that of the mean image, is {told}. The paper calls its "
            "decoder's quality insufficient and gives no number."]


def planning(success: pd.DataFrame, near: Mapping[str, float]) -> list[str]:
    """How many goals each method reached, with Wilson's intervals. success: a row a task, a column a method, in 0..1;
    near: m, as `planning.NEAR`."""
    if success.empty:
        return ["Not run: no task to plan for."]
    each = []
    for name, rate in success.mean().items():
        low, high = (100 * end for end in wilson(rate, len(success)))
        each.append(f"{name} {100 * rate:.0f} % [{low:.0f}, {high:.0f}]")
    return [f"Goals reached on the tabletop, of {len(success)} tasks: {', '.join(each)}. Near means within "
            f"{100 * near['gripper']:.0f} cm for the gripper and {100 * near['object']:.0f} cm for the object."]


def goals_compared(table: pd.DataFrame) -> list[str]:
    """Who reached more goals on the same tasks, a sentence a method that others are compared with.

    table: as from `proportions.compared`.
    """
    if table.empty:
        return []
    lines = []
    for against, rows in table.groupby("against", sort=False):
        each = [f"{row.method} {row.only_method} : {row.only_against} (p = {row.p_holm:.2g}{_verdict(row)})"
                for row in rows.itertuples()]
        lines.append(f"Against {against}, on the same {rows.n.iloc[0]} tasks, goals that only one of the two reached, "
                     f"those of {against} second: {', '.join(each)}.")
    return lines


def _verdict(row: tuple) -> str:
    """Of a row of `proportions.compared`: ', more goals' or ', fewer goals'; empty where that is not clear."""
    if row.p_holm >= 1 - CONFIDENCE:
        return ""
    return ", more goals" if row.difference > 0 else ", fewer goals"


def prefers_recorded(share: Mapping[str, float]) -> list[str]:
    """Whether the cost knows the way. share: model -> share of random plans that it puts behind the recorded ones."""
    if not share:
        return []
    told = ", ".join(f"{100 * value:.0f} % ({name})" for name, value in share.items())
    return [f"The models' cost ranks the recorded actions ahead of {told} of the random ones; 50 % would be chance."]
