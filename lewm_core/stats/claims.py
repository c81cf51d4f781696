"""The paper's claims, one row each, with our number and a verdict by a written rule (`verdicts.RULES`).

A claim is a row of CLAIMS; what it needs comes from `Evidence`, tidy tables only. Evidence that is not there makes a
claim "not testable here", with the reason; nothing is filled in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lewm_core.stats import paper, verdicts
from lewm_core.stats.claims_report import source
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.judges import (
    FULL,
    PILOT,
    Judge,
    all_parts,
    alone,
    at_both,
    attempt,
    below,
    capacity,
    conflict,
    gap,
    head,
    improves,
    instability,
    leak,
    on_object,
    opinion,
    parameters,
    patch_predictor,
    ratio,
    recovered,
    scatter,
    through_patches,
    trend,
    within,
)
from lewm_core.stats.paired import number
from lewm_core.stats.verdicts import RULES

PRIMARY = ("mse", "episode")  # the paper's metric, on data that no run has seen
FIRST, SECOND, THIRD = (paper.reported(i) for i in (1, 2, 3))
LARGE = paper.reported(3, FULL)
CLAIMED = [c for c in FIRST.index if c != "F"]  # by Figure 1, of F the text says that it does nothing
BAND = f"±{paper.FULL_SCALE_BAND:g} %"
NONE = "no number"


@dataclass(frozen=True)
class Claim:
    """One claim: id, section of the paper, what it says, its number, the rule (a key of RULES), and how it is judged.

    judge(evidence, metric, split) gives the Finding or raises Absent. by_metric: whether metric and split matter to it.
    """

    id: str
    section: str
    says: str
    paper: str
    rule: str
    judge: Judge
    by_metric: bool = True


def _percent(value: float) -> str:
    return f"{number(value)} %"


def _points(value: float) -> str:
    return f"{number(value)} points"


CLAIMS: tuple[Claim, ...] = (
    *(Claim(f"pilot-{c}", "4.1", f"{c} improves next-latent MSE on the pilot", _percent(FIRST[c]), "improves",
            improves(c)) for c in CLAIMED),
    Claim("pilot-F", "4.1", "F is statistically indistinguishable from the baseline on the pilot",
          f"{_percent(FIRST['F'])} (Figure 1)", "within", within("F", PILOT)),
    Claim("pilot-all", "4.1", "all auxiliary signals but F improve next-latent MSE on the pilot",
          f"{_percent(FIRST[CLAIMED].max())} to {_percent(FIRST[CLAIMED].min())}", "improves",
          all_parts({c: improves(c) for c in CLAIMED})),
    Claim("pilot-clusters", "4.1", "depth-conditioned signals (B, C4, E) are separated from tracks and centroid (D, F)",
          "−11.5 % and lower against −4.9 % and higher", "ordered",
          all_parts({f"{a} − {b}": below(a, b) for a in ("B", "C4", "E") for b in ("D", "F")})),
    Claim("pilot-E-B", "4.1", "adding tracks to depth (E) does not meaningfully exceed depth alone (B)",
          _points(FIRST["E"] - FIRST["B"]), "within",
          lambda e, *by: verdicts.within(e.against("E", "B", PILOT, *by), abs(FIRST["E"] - FIRST["B"]), " points")),
    Claim("mask-order", "4.2", "depth helps monotonically less as the supervised region shrinks (B, C3, C2, C1)",
          ", ".join(f"{c} {_percent(SECOND[c])}" for c in ("B", "C3", "C2", "C1")), "ordered",
          all_parts({f"{a} − {b}": below(a, b) for a, b in (("B", "C3"), ("C3", "C2"), ("C2", "C1"))})),
    *(Claim(f"mask-{c}", "4.2", f"{c} improves next-latent MSE on the pilot", _percent(SECOND[c]), "improves",
            improves(c)) for c in ("C1", "C2", "C3")),
    Claim("mask-C4-B", "4.2", "weighting the object (C4) is slightly better than the full frame (B)",
          _points(SECOND["C4"] - SECOND["B"]), "ordered", below("C4", "B")),
    Claim("mask-unstable", "4.2", "scale-and-shift normalisation is less stable over a smaller region", NONE,
          "ordered", instability, by_metric=False),
    *(Claim(f"full-{c}", "4.3", f"{c} is within {BAND} of the baseline at full scale",
            _percent(LARGE[c]), "within", within(c)) for c in LARGE.index),
    Claim("full-all", "abstract", f"all signals collapse to within {BAND} at full scale",
          BAND, "within", all_parts({c: within(c) for c in LARGE.index})),
    *(Claim(f"flip-{c}", "4.3", f"the sign of {c}'s effect flips from pilot to full scale",
            f"{_percent(THIRD[c])} → {_percent(LARGE[c])}", "flips", at_both(verdicts.flips, c)) for c in LARGE.index),
    *(Claim(f"lost-{c}", "4.3", f"{c} loses its benefit from pilot to full scale",
            _points(LARGE[c] - THIRD[c]), "grows", at_both(verdicts.lost, c)) for c in LARGE.index),
    Claim("baseline-ratio", "4.3", "the baseline's MSE falls about fourfold from pilot to full scale",
          f"{paper.BASELINE_MSE_RATIO:g}×", "ratio", ratio),
    Claim("power", "4.3", "the sign flip is not driven by reduced statistical power", "3 seeds at both scales", "power",
          all_parts({c: lambda e, *by, c=c: verdicts.power(e.change(c, FULL, *by), THIRD[c]) for c in LARGE.index})),
    Claim("scatter", "4.3", "absolute MSE differences scatter less over seeds at full scale", NONE, "scatter",
          all_parts({c: scatter(c) for c in LARGE.index})),
    Claim("only-scale", "4.3", "the data scale is the only varying factor", NONE, "alone", alone,
          by_metric=False),
    *(Claim(f"scale-{c}", "5", f"the amount of data alone takes {c}'s benefit away", NONE, "grows", trend(c))
      for c in LARGE.index),
    Claim("conflict", "4.3", "at full scale the auxiliary gradient conflicts with the prediction's (cosine)", NONE,
          "shrinks", conflict, by_metric=False),
    Claim("tracks-behind", "4.4", "track supervision is well behind depth on the pilot",
          _points(FIRST["B"] - FIRST["D"]), "ordered", below("B", "D")),
    Claim("foreground", "4.4", "more tracks on the object (D-fg) still give no improvement at full scale", NONE,
          "no gain", lambda e, *by: verdicts.no_gain(e.change("D-fg", FULL, *by))),
    Claim("on-object", "3.3", "foreground-biased queries put more visible tracks on the object",
          " → ".join(f"about {v}" for v in paper.ON_OBJECT_TRACKS.values()), "grows", on_object, by_metric=False),
    Claim("CLS-depth", "4.4", "depth can be recovered from the CLS token (half of the patch tokens' R² or more)",
          NONE, "grows", recovered("depth"), by_metric=False),
    Claim("CLS-tracks", "4.4", "the CLS token lacks of the tracks what the patch tokens have (R², patch − CLS)",
          NONE, "grows", lambda e, *_: verdicts.grows(gap(e, "tracks"), "", 2), by_metric=False),
    Claim("CLS-dense", "4.4", "the CLS token lacks more of the tracks than of the depth (difference of these gaps)",
          NONE, "grows", lambda e, *_: verdicts.grows(gap(e, "tracks") - gap(e, "depth"), "", 2),
          by_metric=False),
    Claim("CLS-capacity", "4.4", "regressing more points costs the CLS token more accuracy than the patch tokens",
          "400 points", "grows", capacity, by_metric=False),
    *(Claim(f"patch-head-{scale}", "4.4", f"tracks help once their head reads patch tokens (D-patch, {scale})", NONE,
            "improves", through_patches(improves("D-patch", scale))) for scale in (PILOT, FULL)),
    *(Claim(f"patch-gain-{scale}", "4.4", f"tracks help more through patch tokens than through CLS ({scale})", NONE,
            "shrinks", through_patches(below("D-patch", "D", scale))) for scale in (PILOT, FULL)),
    *(Claim(f"patch-predictor-{scale}", "7", f"tracks help a patch-aware predictor (D-pp against A-pp, {scale})", NONE,
            "improves", patch_predictor("D-pp", scale)) for scale in (PILOT, FULL)),
    Claim("unseen", "3.4", "the validation windows hold data that training has not seen (implied)", "0 %", "none",
          leak, by_metric=False),
    Claim("size-model", "3.2", "the model has about 15 M parameters", "15 M", "count", parameters, by_metric=False),
    *(Claim(f"size-{name}", "3.3", f"the {name} head has about {size // 1000} K parameters", f"{size // 1000} K",
            "count", head(name, size), by_metric=False)
      for name, size in (("depth", 400_000), ("tracks", 135_000), ("centroid", 37_000))),
    Claim("retrieval", "4.5", "retrieval shows the latents more reliably than the decoder", NONE, "judgement",
          opinion("a judgement by eye; notebook 07 shows both"), by_metric=False),
    Claim("curation", "5", "data quality matters three to ten times more than algorithmic changes", "3 to 10×",
          "judgement", opinion("about another system (the paper's reference 8)"), by_metric=False),
    Claim("training-time", "5", "explicit signals are worth more in training than as outputs at inference", NONE,
          "judgement", opinion("no use of the signals at inference is part of the study"), by_metric=False),
)


def claims_table(evidence: Evidence, metric: str = PRIMARY[0], split: str = PRIMARY[1],
                 provenance: Mapping[str, object] | None = None) -> pd.DataFrame:
    """Every claim with its verdict: what `figures/claims.csv` holds.

    Returns columns id, section, claim, paper (its number), ours (number and interval), n (seeds; the fewest of several
    parts), mde (smallest change detected at 80 %), verdict, reason, rule, mean, low, high, metric, split (empty
    where they do not matter), and from `provenance` data and profile.
    """
    rows = []
    for claim in CLAIMS:
        found = attempt(claim.judge, evidence, metric, split)
        rows.append({"id": claim.id, "section": claim.section, "claim": claim.says, "paper": claim.paper,
                     "ours": found.ours, "n": found.n, "mde": found.mde, "verdict": found.verdict,
                     "reason": found.reason, "rule": RULES[claim.rule], "mean": found.mean, "low": found.low,
                     "high": found.high, "metric": metric if claim.by_metric else "",
                     "split": split if claim.by_metric else ""})
    about = provenance or {}
    return pd.DataFrame(rows).assign(data=source(about), profile=about.get("profile", ""))


def survival(evidence: Evidence, metrics: Sequence[str], splits: Sequence[str] = ("window", "episode")) -> pd.DataFrame:
    """Under which metrics and splits does each claim survive? Columns id, claim, metric, split, verdict, ours, n."""
    return pd.DataFrame([
        (claim.id, claim.says, metric, split, found.verdict, found.ours, found.n)
        for claim in CLAIMS if claim.by_metric for split in splits for metric in metrics
        for found in [attempt(claim.judge, evidence, metric, split)]],
        columns=["id", "claim", "metric", "split", "verdict", "ours", "n"])
