"""How each kind of claim is judged: from `Evidence` to a `Finding`, by one of the rules of `verdicts`.

A judge takes (evidence, metric, split) and returns a Finding, or raises Absent where what it needs is not there.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from lewm_core.diagnostics.capacity import CLEAR, FLOORS
from lewm_core.heads import build_heads
from lewm_core.model import MODELS, LeWM
from lewm_core.stats import paper, verdicts
from lewm_core.stats.evidence import Absent, Evidence
from lewm_core.stats.patch_routes import why_idle
from lewm_core.stats.verdicts import UNTESTABLE, Finding, all_of
from lewm_core.utils.workspace import SCALES

PILOT, FULL = SCALES
Judge = Callable[[Evidence, str, str], Finding]


def all_parts(judges: Mapping[str, Judge]) -> Judge:
    """A claim of several parts; those that cannot be tested say so."""
    return lambda *args: all_of({name: attempt(judge, *args) for name, judge in judges.items()})


def attempt(judge: Judge, *args) -> Finding:
    try:
        return judge(*args)
    except Absent as reason:
        return Finding(UNTESTABLE, reason=str(reason))


def improves(condition: str, scale: str = PILOT) -> Judge:
    return lambda e, *by: verdicts.improves(e.change(condition, scale, *by))


def within(condition: str, scale: str = FULL) -> Judge:
    return lambda e, *by: verdicts.within(e.change(condition, scale, *by))


def below(one: str, other: str, scale: str = PILOT) -> Judge:
    return lambda e, *by: verdicts.shrinks(e.against(one, other, scale, *by))


def at_both(rule: Callable[[pd.Series, pd.Series], Finding], condition: str) -> Judge:
    return lambda e, *by: rule(e.change(condition, PILOT, *by), e.change(condition, FULL, *by))


def ratio(e: Evidence, *by: str) -> Finding:
    return verdicts.ratio(e.values("A", PILOT, *by), e.values("A", FULL, *by), paper.BASELINE_MSE_RATIO)


def scatter(condition: str) -> Judge:
    def judge(e: Evidence, *by: str) -> Finding:
        off = [(e.values(condition, s, *by) - e.values("A", s, *by)).dropna() for s in (PILOT, FULL)]
        return verdicts.scatter(*off)
    return judge


def trend(condition: str) -> Judge:
    """The slope of the change over the logarithm of the number of episodes, per doubling, seed by seed."""
    def judge(e: Evidence, *by: str) -> Finding:
        sizes = e.need("sizes")
        at = pd.DataFrame({size: e.change(condition, scale, *by) for scale, size in sizes.items()}).dropna()
        if at.shape[1] < 2 or at.empty:
            raise Absent(f"no seed of {condition} at two sizes or more")
        return verdicts.grows(np.polyfit(np.log2(at.columns.to_numpy(float)), at.T.to_numpy(), 1)[0],
                              " points per doubling")
    return judge


def alone(e: Evidence, *_: str) -> Finding:
    facts = e.need("facts").pivot(index="fact", columns="scale", values="value")
    differ = facts[(facts[FULL] / facts[PILOT] - 1).abs() > 0.05]
    told = "; ".join(f"{name} {row[PILOT]:.4g} → {row[FULL]:.4g}" for name, row in differ.iterrows())
    return Finding(verdicts.CONTRADICTED if len(differ) else verdicts.SUPPORTED, told or "nothing else differs", n=1)


def conflict(e: Evidence, *_: str) -> Finding:
    rows = e.need("gradients")
    if FULL not in set(rows.scale):
        raise Absent("gradients were not measured at full scale")
    return verdicts.shrinks(rows[rows.scale == FULL].groupby("seed").cosine.mean(), "", 3)


def _r2(e: Evidence, target: str, tokens: str) -> pd.Series:
    rows = e.need("probes")
    rows = rows[(rows.target == target) & (rows.tokens == tokens) & (rows.probe == "linear")].dropna(subset="r2")
    if rows.empty:
        raise Absent(f"no linear probe of {target} from {tokens}")
    return rows.groupby("seed").r2.mean()


def recovered(target: str) -> Judge:
    """CLS keeps at least half of the R² that the patch tokens have."""
    return lambda e, *_: verdicts.grows(_r2(e, target, "CLS") - _r2(e, target, "patch").clip(lower=0) / 2, "", 2)


def gap(e: Evidence, target: str) -> pd.Series:
    return _r2(e, target, "patch") - _r2(e, target, "CLS")


def capacity(e: Evidence, *_: str) -> Finding:
    """How much more the error grows from the fewest to the most points from CLS than from patch tokens, per cent."""
    rows = e.need("capacity")
    floor = rows[rows.series == FLOORS[0]].groupby("seed").error.mean()
    own = rows[(rows.probe == "mlp") & rows.series.isin(["CLS", "patch"])]
    of_floor = (own.error / own.seed.map(floor)).groupby([own.series, own.points]).mean()
    if of_floor.min() > CLEAR:
        raise Absent("no probe of CLS or patch tokens is clearly better than the training mean: no accuracy to lose")
    rows = rows[rows.probe == "mlp"].set_index(["seed", "series", "points"]).error.unstack(["series", "points"])
    if not {"CLS", "patch"} <= set(rows.columns.get_level_values(0)):
        raise Absent("no MLP probe of CLS and of patch tokens")
    growth = {s: np.log(rows[s].iloc[:, rows[s].columns.argmax()] / rows[s].iloc[:, rows[s].columns.argmin()])
              for s in ("CLS", "patch")}
    return verdicts.grows(100 * (growth["CLS"] - growth["patch"]), " %")


def through_patches(judge: Judge) -> Judge:
    """The same judge on the runs that read patch tokens."""
    return lambda e, *by: judge(e.need("patches"), *by)


def patch_predictor(condition: str, scale: str) -> Judge:
    """Of the runs that read patch tokens; not where the predictor does not come to read them."""
    def judge(e: Evidence, *by: str) -> Finding:
        own, plain = (e.values(c, scale, *by) for c in ("A-pp", "A"))
        if why := why_idle((100 * (own / plain - 1)).dropna(), scale):
            raise Absent(why)
        return improves(condition, scale)(e, *by)
    return through_patches(judge)


def on_object(e: Evidence, *_: str) -> Finding:
    rows = e.need("on_object").groupby(["layout", "episode"])["count"].mean().unstack("layout")
    if not {"uniform", "foreground"} <= set(rows):
        raise Absent("only one layout of query points was tracked")
    return verdicts.grows((rows.foreground - rows.uniform).dropna(), " tracks")


def instability(e: Evidence, *_: str) -> Finding:
    rows = e.need("instability").pivot(index="episode", columns="condition", values="value")
    names = [c for c in ("B", "C3", "C2", "C1") if c in rows]
    if len(names) < 2:
        raise Absent("instability of fewer than two regions")
    return all_of({f"{a} − {b}": verdicts.shrinks((rows[a] - rows[b]).dropna(), "", 3)
                   for a, b in zip(names, names[1:], strict=False)})


def leak(e: Evidence, *_: str) -> Finding:
    rows = e.need("leak")
    rows = rows[(rows.condition == "A") & (rows.measure == "seen_window")]
    if rows.empty:
        raise Absent("the leak of A was not measured")
    worst = rows.sort_values("mean").iloc[-1]
    low = worst["mean"] if worst.n < 2 else worst.low
    verdict = verdicts.SUPPORTED if worst["mean"] == 0 else verdicts.CONTRADICTED if low > 0 else verdicts.UNDECIDED
    ours = f"{worst['mean']:.0f} % of the frames ({worst.scale})"
    return Finding(verdict, ours, worst["mean"], worst.low, worst.high, int(worst.n))


def parameters(e: Evidence, *_: str) -> Finding:
    return verdicts.count(sum(p.numel() for p in LeWM(MODELS["paper"]).parameters()), 15e6)


def head(name: str, expected: float) -> Judge:
    return lambda *_: verdicts.count(sum(p.numel() for p in build_heads((name,), 192, 0).parameters()), expected)


def opinion(reason: str) -> Judge:
    def judge(*_) -> Finding:
        raise Absent(reason)
    return judge
