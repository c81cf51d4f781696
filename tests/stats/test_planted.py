"""How often are verdicts wrong? Studies with a planted truth, through whole results tables, for 3, 5 and 10 seeds.

What is true of each claim is written down here a second time, from the planted effects. A 'supported' is false if the
claim is; a 'contradicted' is false if an effect of interest is there (or, of a claimed absence, is not).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from lewm_core.stats import paper
from lewm_core.stats.claims import CLAIMS
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.outcomes import OUTCOME, SMALLEST, SPLIT
from lewm_core.stats.primary import primary_table
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNTESTED
from tests.stats.planted import NOTHING, THE_PAPERS, Truth, table

SEEDS = (3, 5, 10)
FEW, MANY = 30, 200  # draws for each number of seeds; the many are slow
MOST = 0.05  # of wrong verdicts on a claim
FLIP = NOTHING | {(c, scale): sign * 10.0 for c in "BDE" for scale, sign in (("pilot", -1), ("full", 1))}
TINY = {key: 0.02 * value for key, value in THE_PAPERS.items()}
LOW, HIGH = 1.5, 5.0  # per cent
TRUTHS = {
    "null": Truth(NOTHING, noise=LOW), "the paper's, low noise": Truth(THE_PAPERS, noise=LOW),
    "the paper's, high noise": Truth(THE_PAPERS, noise=HIGH), "flip": Truth(FLIP, noise=LOW),
}


@dataclass(frozen=True)
class Part:
    """Whether 'supported' and 'contradicted' would be false of one part of a claim."""

    supported: bool
    contradicted: bool


def helps(c: str, at: Callable, least: float) -> Part:
    return Part(at(c, "pilot") >= 0, at(c, "pilot") <= -min(SMALLEST, least))


def absent(c: str, scale: str, at: Callable) -> Part:
    return Part(abs(at(c, scale)) > SMALLEST, abs(at(c, scale)) <= SMALLEST)


def no_gain(c: str, at: Callable) -> Part:
    return Part(at(c, "full") <= -SMALLEST, at(c, "full") >= 0)


def below(one: str, other: str, at: Callable) -> Part:
    difference = at(one, "pilot") - at(other, "pilot")
    return Part(difference >= 0, difference < 0)


def lost(c: str, at: Callable) -> Part:
    difference = at(c, "full") - at(c, "pilot")
    return Part(difference <= 0 or at(c, "pilot") >= 0, difference >= SMALLEST)


def parts(truth: Truth) -> dict[str, list[Part]]:
    """Claim -> its parts."""
    def at(c: str, scale: str) -> float:
        return truth.effects.get((c, scale), np.nan)

    first, second = (paper.reported(figure).abs() for figure in (1, 2))
    found = {f"pilot-{c}": [helps(c, at, first[c])] for c in ("B", "C4", "D", "E", "G")}
    found["pilot-all"] = [part for each in found.values() for part in each]
    found |= {f"mask-{c}": [helps(c, at, second[c])] for c in ("C1", "C2", "C3")}
    found["pilot-F"] = [absent("F", "pilot", at)]
    difference = at("E", "pilot") - at("B", "pilot")
    found["pilot-E-B"] = [Part(abs(difference) > SMALLEST, abs(difference) <= SMALLEST)]
    found["pilot-clusters"] = [below(one, other, at) for one in ("B", "C4", "E") for other in ("D", "F")]
    found["mask-order"] = [below(*pair, at) for pair in (("B", "C3"), ("C3", "C2"), ("C2", "C1"))]
    found["mask-C4-B"], found["tracks-behind"] = [below("C4", "B", at)], [below("B", "D", at)]
    found |= {f"full-{c}": [absent(c, "full", at)] for c in "BDE"}
    found["full-all"] = [absent(c, "full", at) for c in "BDE"]
    found["full-at-or-above"] = [no_gain(c, at) for c in "BDE"]
    return found | {f"lost-{c}": [lost(c, at)] for c in "BDE"}


def primaries(truth: Truth) -> dict[str, list[Part]]:
    """The same of the primary hypotheses; a twin with other frames' targets has no effect."""
    at = truth.effects
    full = {c: at[c, "full"] for c in "BDE"}
    better = {c: Part(value >= 0, value <= -SMALLEST) for c, value in full.items()}
    lag = full["B"] - at["B", "pilot"]
    behind = 100 * ((100 + full["E"]) / (100 + full["B"]) - 1)
    return {"H1": [better["B"]], "H2": [better["B"]], "H3": [helps("B", lambda *key: at[key], SMALLEST)] * 2,
            "H4": [Part(lag <= 0, lag >= SMALLEST)], "H5": [better["D"]],
            "H6": [Part(behind <= -SMALLEST, behind >= 0)]}


def verdicts_on(truth: Truth, n: int, draws: int, seed: int = 0) -> list[dict[str, str]]:
    """The verdicts of `draws` studies of n seeds, by claim and primary hypothesis."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(draws):
        evidence = Evidence(table(truth, n, rng))
        found = {c.id: c.on(evidence, OUTCOME, SPLIT).verdict for c in CLAIMS if c.by_metric}
        first = primary_table(evidence)
        out.append(found | dict(zip(first.id, first.verdict, strict=True)))
    return out


def rates(found: list[dict[str, str]], verdict: str) -> dict[str, float]:
    """The share of the studies in which each claim has that verdict."""
    count = Counter(name for one in found for name, given in one.items() if given == verdict)
    return {name: count[name] / len(found) for name in found[0]}


def tolerated(draws: int) -> float:
    """The rate that is not exceeded but in one of a thousand tests, if the true one is MOST; MOST itself for many."""
    return MOST if draws >= MANY else MOST + 3.3 * np.sqrt(MOST * (1 - MOST) / draws)


def wrong_primaries(one: dict[str, str], truth: Truth) -> set[str]:
    """The kinds of false verdict that one study passes on the primary hypotheses."""
    kinds = set()
    for name, its in primaries(truth).items():
        if one[name] == SUPPORTED and any(part.supported for part in its):
            kinds.add(SUPPORTED)
        if one[name] == CONTRADICTED and all(part.contradicted for part in its):
            kinds.add(CONTRADICTED)
    return kinds


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize(("n", "draws"), [*((n, FEW) for n in SEEDS),
                                          *(pytest.param(n, MANY, marks=pytest.mark.slow) for n in (3, 5))])
def test_verdicts_are_seldom_wrong(name, n, draws):
    """On each claim, and on all primary hypotheses together; measured on 400 draws: on no claim in more than 2.3 %."""
    truth = TRUTHS[name]
    found, most = verdicts_on(truth, n, draws), tolerated(draws)
    supported, contradicted = rates(found, SUPPORTED), rates(found, CONTRADICTED)
    for claim, its in (parts(truth) | primaries(truth)).items():
        if any(part.supported for part in its):
            assert supported[claim] <= most, f"{claim} falsely supported"
        if all(part.contradicted for part in its):
            assert contradicted[claim] <= most, f"{claim} falsely contradicted"
    wrong = Counter(kind for one in found for kind in wrong_primaries(one, truth))
    assert max(wrong.values(), default=0) / draws <= most, "over all primary hypotheses together"


@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("noise", [LOW, HIGH])
def test_an_instrument_that_sees_nothing_never_passes_a_verdict(n, noise):
    """Effects, learning, the positive control, the heads: all are 2 % of what they should be."""
    for one in verdicts_on(Truth(THE_PAPERS, noise=noise, sensitivity=0.02), n, 2 * FEW):
        assert set(one.values()) == {UNTESTED}


@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("noise", [LOW, HIGH])
def test_a_positive_control_that_shows_nothing_suffices(n, noise):
    """All else is well, but nothing reaches the outcome: it takes a false positive of the control to pass a verdict."""
    found = verdicts_on(Truth(TINY, noise=noise, positive=0.4), n, 3 * FEW)
    passed = np.mean([set(one.values()) != {UNTESTED} for one in found])
    assert passed <= 0.025 + 3.3 * np.sqrt(0.025 * 0.975 / len(found))


@pytest.mark.parametrize(("name", "n", "least"), [
    ("the paper's, low noise", 10, {"pilot-B": 0.99, "pilot-D": 0.95, "full-B": 0.99, "lost-B": 0.99, "H3": 0.99,
                                    "H4": 0.99, "H6": 0.9}),
    ("the paper's, low noise", 5, {"pilot-B": 0.99, "full-B": 0.9, "lost-B": 0.99, "H3": 0.9, "H4": 0.9}),
    ("the paper's, high noise", 10, {"pilot-B": 0.9, "lost-B": 0.9, "H3": 0.8, "H4": 0.6}),
    ("flip", 3, {"lost-B": 0.9, "full-at-or-above": 0.9}), ("flip", 5, {"lost-B": 0.99, "H4": 0.95})])
def test_true_effects_are_found(name, n, least):
    supported = rates(verdicts_on(TRUTHS[name], n, FEW), SUPPORTED)
    for claim, power in least.items():
        assert supported[claim] >= power - 3.3 * np.sqrt(power * (1 - power) / FEW), claim
