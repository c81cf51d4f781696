"""The rules by which claims are judged, and how their numbers are made, in words: the key is what a claim says its
rule is. `verdicts` applies them.
"""

from lewm_core.stats.outcomes import SHUFFLED, SMALLEST
from lewm_core.stats.verdicts import FACTOR, TOLERANCE

RULES = {
    "primary": "supported: the test that the mean lies beyond 0, p < 0.05 after Holm's correction over all primary "
               "hypotheses; contradicted: the test that it falls short of the smallest effect of interest, likewise; "
               "not decided: neither, or both",
    "helps": f"supported: better than A and than X{SHUFFLED}, both intervals below 0 and not wholly above "
             f"−{SMALLEST:g} %; contradicted: one of the two intervals above −{SMALLEST:g} % (above the paper's number "
             "where that is smaller) and not below 0",
    "no gain": f"supported: interval above −{SMALLEST:g} %; contradicted: interval below 0 and not wholly above "
               f"−{SMALLEST:g} %",
    "within": f"supported: two one-sided t tests (TOST) place the mean within ±{SMALLEST:g}, p < 0.05; contradicted: "
              "interval outside that margin",
    "ordered": "supported: every paired difference of neighbours below 0 (interval); contradicted: one above 0",
    "lost": f"supported: interval below 0 at the small scale, and interval of the difference large − small above 0 and "
            f"not wholly below {SMALLEST:g} points; contradicted: interval of the difference below {SMALLEST:g} points "
            "and not above 0. Whether the sign of the mean flips is said, not judged",
    "grows": "supported: interval of the difference or slope above 0; contradicted: below 0",
    "shrinks": "supported: interval of the difference or slope below 0 (of several, all); contradicted: above 0 (one)",
    "ratio": f"supported: 90 % interval of the ratio within a factor {FACTOR:g} of the paper's (TOST); contradicted: "
             "95 % interval outside it",
    "power": "supported: even with the deviation at the upper end of its interval the seeds detect the paper's pilot "
             "effect at 80 %; contradicted: not even at its lower end",
    "scatter": "supported: F interval of the ratio of variances (large / small scale) below 1; contradicted: above 1",
    "count": f"supported: within {TOLERANCE:.0%} of the paper's number; contradicted: otherwise (a count, no interval)",
    "range": "supported: inside the paper's range; contradicted: outside it (a count, no interval)",
    "none": "supported: the share is 0; contradicted: its interval, or its only value, is above 0",
    "alone": "supported: nothing else differs by more than 5 %; contradicted: something else does (a count)",
    "judgement": "a judgement, or about other systems: no number of this study decides it",
}

CHANGE = "of each seed the change 100 · (value / reference − 1), of runs of the same seed; then"
MEAN = "the mean over seeds with its t interval"
AGAINST = f"{CHANGE} {MEAN}; the reference is the condition's baseline"
HOW = {  # how a claim's number is made; a claim that differs from the others of its rule says so itself
    "primary": f"{CHANGE} {MEAN}; of an interaction, of each seed the change at full size minus that at the pilot's",
    "helps": f"{AGAINST}, and its twin with other frames' targets",
    "no gain": AGAINST,
    "within": AGAINST,
    "ordered": f"of each seed the difference of the two conditions' changes against their baselines; then {MEAN}",
    "lost": "the mean over seeds of the change against the baseline at full size, minus that at the pilot's; a t "
            "interval, paired where both sizes have the same seeds and Welch's where not",
    "grows": f"of each seed the difference; then {MEAN}",
    "shrinks": f"of each seed the difference; then {MEAN}",
    "ratio": "the geometric mean over seeds at the pilot's size over that at full size; a t interval of the logarithms",
    "power": "the change that so many seeds detect at 80 %, by the standard deviation over seeds of the change against "
             "the baseline; the interval is that of the deviation",
    "scatter": "the variance over seeds of the difference from A at full size over that at the pilot's; an F interval",
    "count": "a count, without an interval",
    "range": "a count, without an interval",
    "none": "the mean over seeds with its t interval, of the scale at which it is largest",
    "alone": "counts of both sizes, compared",
    "judgement": "no number",
}
