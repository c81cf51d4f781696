"""What a claim is: a sentence, a number, the rule and the evidence by which it is judged."""

from dataclasses import dataclass

from lewm_core.stats.evidence import Absent, Evidence
from lewm_core.stats.judges import Judge
from lewm_core.stats.rules import HOW
from lewm_core.stats.verdicts import UNTESTED, Finding

EFFECTS = ("results", "patches")  # evidence that holds effects, for which metric and split matter


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    id; section of the paper; says: what it says; paper: its number; rule: a key of RULES, by which it is judged.
    judge: takes what the claim reads, a metric and a split, and gives the Finding or raises Absent.
    reads: a field of `Evidence`, "results" for the evidence as a whole, or empty for a judgement.
    metric: the one by which alone it can be judged, of a claim about values and not changes; empty for any.
    how: how its number is made; empty where `rules.HOW` says so for all of its rule.
    """

    id: str
    section: str
    says: str
    paper: str
    rule: str
    judge: Judge
    reads: str = "results"
    metric: str = ""
    how: str = ""

    @property
    def made(self) -> str:
        """How its number is made of the runs' values, in words."""
        return self.how or HOW[self.rule]

    @property
    def by_metric(self) -> bool:
        """Whether it can be judged by several metrics and splits."""
        return self.reads in EFFECTS and not self.metric

    def on(self, evidence: Evidence, metric: str, split: str) -> Finding:
        """The verdict on the claim; not tested, with the reason, where what it reads is not there."""
        try:
            read = evidence if self.reads in ("results", "") else evidence.need(self.reads)
            return self.judge(read, self.metric or metric, split)
        except Absent as reason:
            return Finding(UNTESTED, reason=str(reason))
