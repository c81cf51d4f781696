"""How claims are judged that rest on one table of the evidence, and no effect of a condition (see `judges`)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lewm_core.stats import paper, verdicts
from lewm_core.stats.evidence import CLEAR, FLOORS, LEAST_R2, Absent
from lewm_core.stats.judges import FULL, PILOT, Judge
from lewm_core.stats.verdicts import Finding, all_of
from lewm_core.utils.workspace import SCALES


def alone(facts: pd.DataFrame, *_: str) -> Finding:
    """Nothing but the number of episodes differs between the scales by more than 5 %."""
    wide = facts.pivot(index="fact", columns="scale", values="value")
    if not set(SCALES) <= set(wide):
        raise Absent("the facts of one scale only were counted")
    differ = wide[(wide[FULL] / wide[PILOT] - 1).abs() > 0.05]
    told = "; ".join(f"{name} {row[PILOT]:.4g} → {row[FULL]:.4g}" for name, row in differ.iterrows())
    verdict = verdicts.CONTRADICTED if len(differ) else verdicts.SUPPORTED
    return Finding(verdict, told or "nothing else differs", n=1)


def _by_head(gradients: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Of every condition's head: the mean along each run, a row a seed, a column a scale."""
    if column not in gradients:
        raise Absent(f"the gradients' {column} was not measured")
    means = gradients.groupby(["condition", "head", "scale", "seed"], sort=False)[column].mean().unstack("scale")
    return {f"{condition}, {head} head": rows.droplevel([0, 1])
            for (condition, head), rows in means.groupby(level=[0, 1], sort=False)}


def conflict(gradients: pd.DataFrame, *_: str) -> Finding:
    """The cosine of each head's gradient with the prediction's is below 0 at full scale, head by head."""
    heads = {name: at[FULL].dropna() for name, at in _by_head(gradients, "cosine").items()
             if FULL in at and at[FULL].notna().any()}
    if not heads:
        raise Absent("gradients were not measured at full scale")
    return all_of({name: verdicts.shrinks(at, "", 3, len(heads)) for name, at in heads.items()})


def redundant(gradients: pd.DataFrame, *_: str) -> Finding:
    """The norm of each head's gradient, over that of the prediction's, falls from pilot to full scale, in doublings."""
    found = {}
    for name, at in _by_head(gradients, "ratio").items():
        if set(SCALES) <= set(at) and at[PILOT].notna().any() and at[FULL].notna().any():
            small, large = (np.log2(at[scale].where(at[scale] > 0)).dropna() for scale in SCALES)
            found[name] = verdicts.fell(small, large, " doublings", 2)
    if not found:
        raise Absent("gradients were not measured at both scales")
    return all_of(found)


def _r2(probes: pd.DataFrame, target: str, tokens: str) -> pd.Series:
    """R² of the linear probe by seed."""
    rows = probes[(probes.target == target) & (probes.tokens == tokens) & (probes.probe == "linear")]
    rows = rows.dropna(subset="r2")
    if rows.empty:
        raise Absent(f"no linear probe of {target} from {tokens}")
    return rows.groupby("seed").r2.mean()


def _from_patches(probes: pd.DataFrame, target: str) -> pd.Series:
    """R² from the patch tokens by seed; Absent where it is at its floor in a seed: there is nothing to lack then."""
    found = _r2(probes, target, "patch")
    if found.min() <= LEAST_R2:
        raise Absent(f"the patch tokens' own probe of {target} is at its floor (R² {found.min():.2f} in a seed, at "
                     f"most {LEAST_R2:g}), so CLS can lack nothing of it")
    return found


def recovered(target: str) -> Judge:
    """CLS keeps at least half of the R² that the patch tokens have."""
    def judge(probes: pd.DataFrame, *_: str) -> Finding:
        return verdicts.grows(_r2(probes, target, "CLS") - _from_patches(probes, target) / 2, "", 2)
    return judge


def _gap(probes: pd.DataFrame, target: str) -> pd.Series:
    """By how much R² from patch tokens exceeds that from the CLS token, by seed."""
    return _from_patches(probes, target) - _r2(probes, target, "CLS")


def lacks(target: str) -> Judge:
    """The CLS token lacks of the target what the patch tokens have."""
    return lambda probes, *_: verdicts.grows(_gap(probes, target), "", 2)


def lacks_more(one: str, other: str) -> Judge:
    """The CLS token lacks more of one target than of the other."""
    return lambda probes, *_: verdicts.grows(_gap(probes, one) - _gap(probes, other), "", 2)


def capacity(table: pd.DataFrame, *_: str) -> Finding:
    """How much more the error grows from the fewest to the most points from CLS than from patch tokens, per cent."""
    floor = table[table.series == FLOORS[0]].groupby("seed").error.mean()
    own = table[(table.probe == "mlp") & table.series.isin(["CLS", "patch"])]
    of_floor = (own.error / own.seed.map(floor)).groupby([own.series, own.points]).mean()
    if of_floor.min() > CLEAR:
        raise Absent("no probe of CLS or patch tokens is clearly better than the training mean: no accuracy to lose")
    if set(own.series) != {"CLS", "patch"}:
        raise Absent("no MLP probe of CLS and of patch tokens")
    growth = {}
    for series, rows in own.groupby("series"):
        wide = rows.pivot(index="seed", columns="points", values="error")
        growth[series] = np.log(wide[wide.columns.max()] / wide[wide.columns.min()])
    return verdicts.grows(100 * (growth["CLS"] - growth["patch"]).dropna(), " %")


def on_object(counts: pd.DataFrame, *_: str) -> Finding:
    """More visible tracks lie on the object with foreground-biased queries, episode by episode."""
    wide = counts.groupby(["layout", "episode"])["count"].mean().unstack("layout")
    if not {"uniform", "foreground"} <= set(wide):
        raise Absent("only one layout of query points was tracked")
    return verdicts.grows((wide.foreground - wide.uniform).dropna(), " tracks")


def instability(table: pd.DataFrame, *_: str) -> Finding:
    """The normalisation changes less from frame to frame over a larger region, episode by episode."""
    wide = table.pivot(index="episode", columns="condition", values="value")
    names = [c for c in ("B", "C3", "C2", "C1") if c in wide]
    if len(names) < 2:
        raise Absent("instability of fewer than two regions")
    pairs = list(zip(names, names[1:], strict=False))
    return all_of({f"{a} − {b}": verdicts.shrinks((wide[a] - wide[b]).dropna(), "", 3, len(pairs)) for a, b in pairs})


def leak(table: pd.DataFrame, *_: str) -> Finding:
    """No frame of a held-out window was trained on; of several scales the worst counts."""
    rows = table[(table.condition == paper.BASELINE) & (table.measure == "seen_window")]
    if rows.empty:
        raise Absent(f"the leak of {paper.BASELINE} was not measured")
    worst = rows.sort_values("mean").iloc[-1]
    low = worst["mean"] if worst.n < 2 else worst.low
    if worst["mean"] == 0:
        verdict = verdicts.SUPPORTED
    else:
        verdict = verdicts.CONTRADICTED if low > 0 else verdicts.UNDECIDED
    ours = f"{worst['mean']:.0f} % of the frames ({worst.scale})"
    return Finding(verdict, ours, worst["mean"], worst.low, worst.high, int(worst.n), unit="%")


def coverage(table: pd.DataFrame, *_: str) -> Finding:
    """The object's mask covers as large a share of the frame as the paper's do, at full scale."""
    rows = table[table.scale == FULL].dropna(subset="value")
    if rows.empty:
        raise Absent("no mask at full scale")
    share, (least, most) = float(rows.value.iloc[0]), paper.MASK_COVERAGE
    verdict = verdicts.SUPPORTED if least <= share <= most else verdicts.CONTRADICTED
    return Finding(verdict, f"{100 * share:.1f} % of the frame", share, n=1, unit="share of the frame")


def parameters(name: str, expected: float) -> Judge:
    """A part of the model has about so many parameters."""
    def judge(counts: Mapping[str, int], *_: str) -> Finding:
        if name not in counts:
            raise Absent(f"the parameters of the {name} were not counted")
        return verdicts.count(counts[name], expected)
    return judge
