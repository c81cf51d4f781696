"""The paper's claims, one row each, with our number and a verdict by a written rule (`rules.RULES`).

Evidence that is not there, and an instrument that was not shown to see (`gates`), make a claim "not tested here", with
the reason; nothing is filled in. What is no claim on what the signals do stands apart, in `asides`. The table begins
with the gates and the primary hypotheses.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from lewm_core.stats import judges, paper, table_judges
from lewm_core.stats.asides import FACTS, SUGGESTIONS
from lewm_core.stats.claim import Claim
from lewm_core.stats.claims_report import OPEN, SHUT, WORDS, source
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.gates import gate_table
from lewm_core.stats.judges import FULL, PILOT, Judge, all_parts, below, improves, within
from lewm_core.stats.outcomes import OUTCOME, PAPERS, SPLIT
from lewm_core.stats.paired import SPLITS, number
from lewm_core.stats.primary import primary_table
from lewm_core.stats.rules import HOW, MEAN, RULES

FIRST, SECOND, THIRD = (paper.reported(i) for i in (1, 2, 3))
LARGE = paper.reported(3, FULL)
CLAIMED = [c for c in FIRST.index if c != "F"]  # by Figure 1, of F the text says that it does nothing
BAND = f"±{paper.FULL_SCALE_BAND:g} %"
NONE = "no number"


def _percent(value: float) -> str:
    return f"{number(value)} %"


def _points(value: float) -> str:
    return f"{number(value)} points"


def _parts(pairs: Sequence[tuple[str, str]]) -> Judge:
    """Each first condition is below its second on the pilot."""
    return all_parts({f"{a} − {b}": below(a, b, among=len(pairs)) for a, b in pairs})


PILOT_CLAIMS = (
    *(Claim(f"pilot-{c}", "4.1", f"{c} improves prediction on the pilot", _percent(FIRST[c]), "helps",
            improves(c, reported=FIRST[c])) for c in CLAIMED),
    Claim("pilot-F", "4.1", "F is indistinguishable from the baseline on the pilot",
          f"{_percent(FIRST['F'])} (Figure 1)", "within", within("F", PILOT)),
    Claim("pilot-all", "4.1", "all auxiliary signals but F improve prediction on the pilot",
          f"{_percent(FIRST[CLAIMED].max())} to {_percent(FIRST[CLAIMED].min())}", "helps",
          all_parts({c: improves(c, reported=FIRST[c], among=len(CLAIMED)) for c in CLAIMED})),
    Claim("pilot-clusters", "4.1", "depth-conditioned signals (B, C4, E) are separated from tracks and centroid (D, F)",
          "−11.5 % and lower against −4.9 % and higher", "ordered",
          _parts([(a, b) for a in ("B", "C4", "E") for b in ("D", "F")])),
    Claim("pilot-E-B", "4.1", "adding tracks to depth (E) does not meaningfully exceed depth alone (B)",
          _points(FIRST["E"] - FIRST["B"]), "within", judges.near("E", "B"), how=HOW["ordered"]),
    Claim("mask-order", "4.2", "depth helps monotonically less as the supervised region shrinks (B, C3, C2, C1)",
          ", ".join(f"{c} {_percent(SECOND[c])}" for c in ("B", "C3", "C2", "C1")), "ordered",
          _parts([("B", "C3"), ("C3", "C2"), ("C2", "C1")])),
    *(Claim(f"mask-{c}", "4.2", f"{c} improves prediction on the pilot", _percent(SECOND[c]), "helps",
            improves(c, reported=SECOND[c])) for c in ("C1", "C2", "C3")),
    Claim("mask-C4-B", "4.2", "weighting the object (C4) is slightly better than the full frame (B)",
          _points(SECOND["C4"] - SECOND["B"]), "ordered", below("C4", "B")),
    Claim("mask-unstable", "4.2", "scale-and-shift normalisation is less stable over a smaller region", NONE,
          "ordered", table_judges.instability, "instability", how="of each episode the difference of the two regions' "
          "mean change from frame to frame; then the mean over episodes with its t interval"),
)

SCALE_CLAIMS = (
    *(Claim(f"full-{c}", "4.3", f"nothing is left of {c}'s effect at full scale (the paper: within {BAND})",
            _percent(LARGE[c]), "within", within(c)) for c in LARGE.index),
    Claim("full-all", "abstract", f"all signals collapse to the baseline at full scale (the paper: within {BAND})",
          BAND, "within", all_parts({c: within(c, among=len(LARGE)) for c in LARGE.index})),
    Claim("full-at-or-above", "4.3", "the auxiliary conditions are reliably at or slightly above the baseline at full "
          "scale, not below", f"{_percent(LARGE.min())} to {_percent(LARGE.max())}", "no gain",
          all_parts({c: judges.no_gain(c, len(LARGE)) for c in LARGE.index})),
    *(Claim(f"lost-{c}", "4.3", f"{c}'s benefit on the pilot is lost at full scale: the sign flips",
            f"{_percent(THIRD[c])} → {_percent(LARGE[c])}", "lost", judges.lost(c)) for c in LARGE.index),
    Claim("baseline-ratio", "4.3", "the baseline's MSE falls about fourfold from pilot to full scale",
          f"{paper.BASELINE_MSE_RATIO:g}×", "ratio", judges.ratio, metric=PAPERS),
    Claim("power", "4.3", "the sign flip is not driven by reduced statistical power", "3 seeds at both scales", "power",
          all_parts({c: judges.power(c, THIRD[c], len(LARGE)) for c in LARGE.index})),
    Claim("scatter", "4.3", "absolute MSE differences scatter less over seeds at full scale", NONE, "scatter",
          all_parts({c: judges.scatter(c, len(LARGE)) for c in LARGE.index}), metric=PAPERS),
    Claim("learnt", "4.3, 5", "with more data the model learns the same structure implicitly (depth, from A's latents)",
          NONE, "grows", judges.learnt("probe_depth", "depth"), metric="probe_depth",
          how="the mean over seeds of the probe's R² at full size, minus that at the pilot's; a t interval"),
    Claim("redundant", "4.3, 5", "at full scale the auxiliary loss is redundant: its gradient is smaller beside the "
          "prediction's than on the pilot", NONE, "shrinks", table_judges.redundant, "gradients",
          how="the mean over seeds of the logarithm of the gradients' ratio at full size, minus that at the pilot's; a "
          "t interval"),
    Claim("conflict", "4.3, 5", "at full scale the auxiliary gradient conflicts with the prediction's (cosine)", NONE,
          "shrinks", table_judges.conflict, "gradients", how=f"the cosine, averaged along each run; then {MEAN}"),
    *(Claim(f"scale-{c}", "5", f"the amount of data alone takes {c}'s benefit away", NONE, "grows", judges.trend(c),
            how=f"of each seed the slope of the change over the logarithm of the number of episodes; then {MEAN}")
      for c in LARGE.index),
)

TRACK_CLAIMS = (
    Claim("tracks-behind", "4.4", "track supervision (D) is well behind depth on the pilot",
          _points(FIRST["B"] - FIRST["D"]), "ordered", below("B", "D")),
    Claim("foreground-behind", "4.4", "with more tracks on the object (D-fg) it is still well behind depth",
          "−4.9 %, of which variant is open", "ordered", below("B", "D-fg")),
    Claim("foreground", "4.4", "with more tracks on the object (D-fg) there is no improvement at full scale", NONE,
          "no gain", judges.no_gain("D-fg")),
    Claim("CLS-depth", "4.4", "depth can be recovered from the CLS token (half of the patch tokens' R² or more)",
          NONE, "grows", table_judges.recovered("depth"), "probes",
          how=f"of each seed the linear probe's R² from CLS minus half of that from the patch tokens; then {MEAN}"),
    Claim("CLS-tracks", "4.4", "the CLS token lacks of the tracks what the patch tokens have (R², patch − CLS)",
          NONE, "grows", table_judges.lacks("tracks"), "probes",
          how=f"of each seed the linear probe's R² from the patch tokens minus that from CLS; then {MEAN}"),
    Claim("CLS-dense", "4.4", "the CLS token lacks more of the tracks than of the depth (difference of these gaps)",
          NONE, "grows", table_judges.lacks_more("tracks", "depth"), "probes",
          how=f"of each seed the gap of the tracks minus the gap of the depth; then {MEAN}"),
    Claim("CLS-capacity", "4.4", "regressing more points costs the CLS token more accuracy than the patch tokens",
          "400 points", "grows", table_judges.capacity, "capacity", how="of each seed the logarithm of how much the "
          f"error grows from the fewest to the most points, from CLS minus from the patch tokens; then {MEAN}"),
)

OTHER_CLAIMS = (
    Claim("retrieval", "4.5", "retrieval shows the latents more reliably than the decoder", NONE, "judgement",
          judges.opinion("a judgement by eye; notebook 07 shows both"), ""),
    Claim("curation", "5", "data quality matters three to ten times more than algorithmic changes", "3 to 10×",
          "judgement", judges.opinion("about another system (the paper's reference 8)"), ""),
    Claim("training-time", "5", "explicit signals are worth more in training than as outputs at inference", NONE,
          "judgement", judges.opinion("no use of the signals at inference is part of the study"), ""),
)

CLAIMS: tuple[Claim, ...] = (*PILOT_CLAIMS, *SCALE_CLAIMS, *TRACK_CLAIMS, *OTHER_CLAIMS)
KINDS = {"claim": CLAIMS, "suggestion": SUGGESTIONS, "fact": FACTS}
NUMBERS = ("mde", "p_holm", "p_against_holm", "mean", "low", "high")


def _claim_row(kind: str, claim: Claim, evidence: Evidence) -> dict[str, object]:
    found = claim.on(evidence, OUTCOME, SPLIT)
    row = {"kind": kind, "id": claim.id, "section": claim.section, "claim": claim.says, "paper": claim.paper,
           "ours": found.ours, "n": found.n, "mde": found.mde, "verdict": found.verdict, "reason": found.reason,
           "rule": RULES[claim.rule], "mean": found.mean, "low": found.low, "high": found.high,
           "metric": claim.metric, "split": SPLIT if claim.metric else ""}
    if claim.by_metric:
        by_mse = claim.on(evidence, PAPERS, SPLIT)
        row |= {"metric": OUTCOME, "split": SPLIT, "mse_ours": by_mse.ours, "mse_verdict": by_mse.verdict,
                "mse_reason": by_mse.reason}
    return row


def _gate_rows(evidence: Evidence) -> list[dict[str, object]]:
    """The gates by the primary outcome and by the paper's metric; the verdict is open or shut, `section` the scale."""
    state = {True: OPEN, False: SHUT}
    by_mse = gate_table(evidence.results, PAPERS)
    return [{"kind": "gate", "id": row.gate, "section": row.scale, "claim": row.condition, "ours": row.told,
             "verdict": state[row.open], "n": 0, "metric": OUTCOME, "split": SPLIT, "mse_verdict": state[mse.open],
             "mse_ours": mse.told}
            for row, mse in zip(gate_table(evidence.results).itertuples(), by_mse.itertuples(), strict=True)]


def _primary_rows(evidence: Evidence) -> list[dict[str, object]]:
    return [{"kind": "primary", "id": row.id, "claim": row.says, "ours": row.ours, "n": row.n, "mde": row.mde,
             "p_holm": row.p_holm, "p_against_holm": row.p_against_holm, "verdict": row.verdict, "reason": row.reason,
             "rule": RULES["primary"], "metric": row.metric, "split": SPLIT}
            for row in primary_table(evidence).itertuples()]


def claims_table(evidence: Evidence, provenance: Mapping[str, object]) -> pd.DataFrame:
    """All that is judged, on held-out episodes: what `figures/claims.csv` holds, and README and claims.md show.

    Returns columns kind: gate (`gates.gate_table`; id: the gate, section: the scale, claim: the condition, verdict:
    open or shut), primary (`primary.primary_table`), then those of KINDS. id, section, claim, paper (its number); by
    the primary outcome (OUTCOME) ours (number and interval), n (seeds; the fewest of several parts), mde (smallest
    change detected at 80 %), p_holm and p_against_holm (of a primary hypothesis), verdict, reason, rule, mean, low,
    high, metric, split (empty where they do not matter); by the paper's metric mse_ours, mse_verdict, mse_reason (empty
    where the metric does not matter); from `provenance` data and profile.
    """
    rows = [*_gate_rows(evidence), *_primary_rows(evidence)]
    rows += [_claim_row(kind, claim, evidence) for kind, claims in KINDS.items() for claim in claims]
    columns = ["kind", "id", "section", "claim", "paper", "ours", "n", "mde", "p_holm", "p_against_holm", "verdict",
               "reason", "rule", "mean", "low", "high", "metric", "split", "mse_ours", "mse_verdict", "mse_reason"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    table = table.fillna(dict.fromkeys(WORDS, "")).astype(dict.fromkeys(NUMBERS, float))
    return table.assign(data=source(provenance), profile=provenance.get("profile", ""))


def survival(evidence: Evidence, metrics: Sequence[str]) -> pd.DataFrame:
    """Under which metrics and splits does each claim survive? Columns id, claim, metric, split, verdict, ours, n.

    metrics: those that the results have are asked.
    """
    known = set(evidence.results.metric)
    rows = []
    for claim in (c for c in CLAIMS if c.by_metric):
        for split in SPLITS[::-1]:
            for metric in dict.fromkeys(m for m in metrics if m in known):
                found = claim.on(evidence, metric, split)
                rows.append((claim.id, claim.says, metric, split, found.verdict, found.ours, found.n))
    return pd.DataFrame(rows, columns=["id", "claim", "metric", "split", "verdict", "ours", "n"])
