"""The paper's claims, one row each, with our number and a verdict by a written rule (`verdicts.RULES`).

A claim is a row of CLAIMS: the paper's sentence and number, the judge, and the evidence that it reads. Evidence that is
not there makes a claim "not testable here", with the reason; nothing is filled in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lewm_core.stats import judges, paper
from lewm_core.stats.claims_report import source
from lewm_core.stats.evidence import Absent, Evidence
from lewm_core.stats.judges import FULL, PILOT, Judge, all_parts, below, improves, within
from lewm_core.stats.paired import SPLITS, number
from lewm_core.stats.verdicts import RULES, UNTESTABLE, Finding

PRIMARY = ("mse", "episode")  # the paper's metric, on data that no run has seen
EFFECTS = ("results", "patches")  # evidence that holds effects, for which metric and split matter
FIRST, SECOND, THIRD = (paper.reported(i) for i in (1, 2, 3))
LARGE = paper.reported(3, FULL)
CLAIMED = [c for c in FIRST.index if c != "F"]  # by Figure 1, of F the text says that it does nothing
BAND = f"±{paper.FULL_SCALE_BAND:g} %"
NONE = "no number"


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    id; section of the paper; says: what it says; paper: its number; rule: a key of RULES, by which it is judged.
    judge: takes what the claim reads, a metric and a split, and gives the Finding or raises Absent.
    reads: a field of `Evidence`, "results" for the evidence as a whole, or empty for a judgement.
    """

    id: str
    section: str
    says: str
    paper: str
    rule: str
    judge: Judge
    reads: str = "results"

    @property
    def by_metric(self) -> bool:
        """Whether metric and split matter to it."""
        return self.reads in EFFECTS

    def on(self, evidence: Evidence, metric: str, split: str) -> Finding:
        """The verdict on the claim; not testable, with the reason, where what it reads is not there."""
        try:
            read = evidence if self.reads in ("results", "") else evidence.need(self.reads)
            return self.judge(read, metric, split)
        except Absent as reason:
            return Finding(UNTESTABLE, reason=str(reason))


def _percent(value: float) -> str:
    return f"{number(value)} %"


def _points(value: float) -> str:
    return f"{number(value)} points"


def _parts(pairs: Sequence[tuple[str, str]]) -> Judge:
    """Each first condition is below its second on the pilot."""
    return all_parts({f"{a} − {b}": below(a, b) for a, b in pairs})


PILOT_CLAIMS = (
    *(Claim(f"pilot-{c}", "4.1", f"{c} improves next-latent MSE on the pilot", _percent(FIRST[c]), "improves",
            improves(c)) for c in CLAIMED),
    Claim("pilot-F", "4.1", "F is statistically indistinguishable from the baseline on the pilot",
          f"{_percent(FIRST['F'])} (Figure 1)", "within", within("F", PILOT)),
    Claim("pilot-all", "4.1", "all auxiliary signals but F improve next-latent MSE on the pilot",
          f"{_percent(FIRST[CLAIMED].max())} to {_percent(FIRST[CLAIMED].min())}", "improves",
          all_parts({c: improves(c) for c in CLAIMED})),
    Claim("pilot-clusters", "4.1", "depth-conditioned signals (B, C4, E) are separated from tracks and centroid (D, F)",
          "−11.5 % and lower against −4.9 % and higher", "ordered",
          _parts([(a, b) for a in ("B", "C4", "E") for b in ("D", "F")])),
    Claim("pilot-E-B", "4.1", "adding tracks to depth (E) does not meaningfully exceed depth alone (B)",
          _points(FIRST["E"] - FIRST["B"]), "within", judges.near("E", "B", abs(FIRST["E"] - FIRST["B"]))),
    Claim("mask-order", "4.2", "depth helps monotonically less as the supervised region shrinks (B, C3, C2, C1)",
          ", ".join(f"{c} {_percent(SECOND[c])}" for c in ("B", "C3", "C2", "C1")), "ordered",
          _parts([("B", "C3"), ("C3", "C2"), ("C2", "C1")])),
    *(Claim(f"mask-{c}", "4.2", f"{c} improves next-latent MSE on the pilot", _percent(SECOND[c]), "improves",
            improves(c)) for c in ("C1", "C2", "C3")),
    Claim("mask-C4-B", "4.2", "weighting the object (C4) is slightly better than the full frame (B)",
          _points(SECOND["C4"] - SECOND["B"]), "ordered", below("C4", "B")),
    Claim("mask-unstable", "4.2", "scale-and-shift normalisation is less stable over a smaller region", NONE,
          "ordered", judges.instability, "instability"),
)

SCALE_CLAIMS = (
    *(Claim(f"full-{c}", "4.3", f"{c} is within {BAND} of the baseline at full scale",
            _percent(LARGE[c]), "within", within(c)) for c in LARGE.index),
    Claim("full-all", "abstract", f"all signals collapse to within {BAND} at full scale",
          BAND, "within", all_parts({c: within(c) for c in LARGE.index})),
    *(Claim(f"flip-{c}", "4.3", f"the sign of {c}'s effect flips from pilot to full scale",
            f"{_percent(THIRD[c])} → {_percent(LARGE[c])}", "flips", judges.flips(c)) for c in LARGE.index),
    *(Claim(f"lost-{c}", "4.3", f"{c} loses its benefit from pilot to full scale",
            _points(LARGE[c] - THIRD[c]), "grows", judges.lost(c)) for c in LARGE.index),
    Claim("baseline-ratio", "4.3", "the baseline's MSE falls about fourfold from pilot to full scale",
          f"{paper.BASELINE_MSE_RATIO:g}×", "ratio", judges.ratio),
    Claim("power", "4.3", "the sign flip is not driven by reduced statistical power", "3 seeds at both scales", "power",
          all_parts({c: judges.power(c, THIRD[c]) for c in LARGE.index})),
    Claim("scatter", "4.3", "absolute MSE differences scatter less over seeds at full scale", NONE, "scatter",
          all_parts({c: judges.scatter(c) for c in LARGE.index})),
    Claim("only-scale", "4.3", "the data scale is the only varying factor", NONE, "alone", judges.alone, "facts"),
    *(Claim(f"scale-{c}", "5", f"the amount of data alone takes {c}'s benefit away", NONE, "grows", judges.trend(c))
      for c in LARGE.index),
    Claim("conflict", "4.3", "at full scale the auxiliary gradient conflicts with the prediction's (cosine)", NONE,
          "shrinks", judges.conflict, "gradients"),
)

TRACK_CLAIMS = (
    Claim("tracks-behind", "4.4", "track supervision is well behind depth on the pilot",
          _points(FIRST["B"] - FIRST["D"]), "ordered", below("B", "D")),
    Claim("foreground", "4.4", "more tracks on the object (D-fg) still give no improvement at full scale", NONE,
          "no gain", judges.no_gain("D-fg")),
    Claim("on-object", "3.3", "foreground-biased queries put more visible tracks on the object",
          " → ".join(f"about {v}" for v in paper.ON_OBJECT_TRACKS.values()), "grows", judges.on_object, "on_object"),
    Claim("CLS-depth", "4.4", "depth can be recovered from the CLS token (half of the patch tokens' R² or more)",
          NONE, "grows", judges.recovered("depth"), "probes"),
    Claim("CLS-tracks", "4.4", "the CLS token lacks of the tracks what the patch tokens have (R², patch − CLS)",
          NONE, "grows", judges.lacks("tracks"), "probes"),
    Claim("CLS-dense", "4.4", "the CLS token lacks more of the tracks than of the depth (difference of these gaps)",
          NONE, "grows", judges.lacks_more("tracks", "depth"), "probes"),
    Claim("CLS-capacity", "4.4", "regressing more points costs the CLS token more accuracy than the patch tokens",
          "400 points", "grows", judges.capacity, "capacity"),
    *(Claim(f"patch-head-{scale}", "4.4", f"tracks help once their head reads patch tokens (D-patch, {scale})", NONE,
            "improves", improves("D-patch", scale), "patches") for scale in (PILOT, FULL)),
    *(Claim(f"patch-gain-{scale}", "4.4", f"tracks help more through patch tokens than through CLS ({scale})", NONE,
            "shrinks", below("D-patch", "D", scale), "patches") for scale in (PILOT, FULL)),
    *(Claim(f"patch-predictor-{scale}", "7", f"tracks help a patch-aware predictor (D-pp against A-pp, {scale})", NONE,
            "improves", judges.patch_predictor("D-pp", scale), "patches") for scale in (PILOT, FULL)),
)

OTHER_CLAIMS = (
    Claim("unseen", "3.4", "the validation windows hold data that training has not seen (implied)", "0 %", "none",
          judges.leak, "leak"),
    Claim("size-model", "3.2", f"the model has about {paper.MODEL_PARAMETERS // 10**6} M parameters",
          f"{paper.MODEL_PARAMETERS // 10**6} M", "count", judges.parameters("model", paper.MODEL_PARAMETERS),
          "parameters"),
    *(Claim(f"size-{name}", "3.3", f"the {name} head has about {size // 1000} K parameters", f"{size // 1000} K",
            "count", judges.parameters(name, size), "parameters") for name, size in paper.HEAD_PARAMETERS.items()),
    Claim("retrieval", "4.5", "retrieval shows the latents more reliably than the decoder", NONE, "judgement",
          judges.opinion("a judgement by eye; notebook 07 shows both"), ""),
    Claim("curation", "5", "data quality matters three to ten times more than algorithmic changes", "3 to 10×",
          "judgement", judges.opinion("about another system (the paper's reference 8)"), ""),
    Claim("training-time", "5", "explicit signals are worth more in training than as outputs at inference", NONE,
          "judgement", judges.opinion("no use of the signals at inference is part of the study"), ""),
)

CLAIMS: tuple[Claim, ...] = (*PILOT_CLAIMS, *SCALE_CLAIMS, *TRACK_CLAIMS, *OTHER_CLAIMS)


def claims_table(evidence: Evidence, provenance: Mapping[str, object]) -> pd.DataFrame:
    """Every claim with its verdict, on MSE and held-out episodes (PRIMARY): what `figures/claims.csv` holds.

    Returns columns id, section, claim, paper (its number), ours (number and interval), n (seeds; the fewest of several
    parts), mde (smallest change detected at 80 %), verdict, reason, rule, mean, low, high, metric, split (empty
    where they do not matter), and from `provenance` data and profile.
    """
    rows = []
    metric, split = PRIMARY
    for claim in CLAIMS:
        found = claim.on(evidence, metric, split)
        rows.append({"id": claim.id, "section": claim.section, "claim": claim.says, "paper": claim.paper,
                     "ours": found.ours, "n": found.n, "mde": found.mde, "verdict": found.verdict,
                     "reason": found.reason, "rule": RULES[claim.rule], "mean": found.mean, "low": found.low,
                     "high": found.high, "metric": metric if claim.by_metric else "",
                     "split": split if claim.by_metric else ""})
    return pd.DataFrame(rows).assign(data=source(provenance), profile=provenance.get("profile", ""))


def survival(evidence: Evidence, metrics: Sequence[str]) -> pd.DataFrame:
    """Under which metrics and splits does each claim survive? Columns id, claim, metric, split, verdict, ours, n.

    metrics: those that the results have are asked.
    """
    known = set(evidence.results.metric)
    rows = []
    for claim in (c for c in CLAIMS if c.by_metric):
        for split in SPLITS[::-1]:
            for metric in (m for m in metrics if m in known):
                found = claim.on(evidence, metric, split)
                rows.append((claim.id, claim.says, metric, split, found.verdict, found.ours, found.n))
    return pd.DataFrame(rows, columns=["id", "claim", "metric", "split", "verdict", "ours", "n"])
