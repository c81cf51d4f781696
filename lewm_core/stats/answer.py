"""The paper's two questions answered in words from a table of claims, and the README's blocks that hold the answer.

What is said is computed: another study gives other sentences, and one that could not see an effect says so.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lewm_core.stats import claims_report
from lewm_core.stats.claims_report import SHUT, facts_told, of_kind, primaries_short
from lewm_core.stats.outcomes import OUTCOME_IN_WORDS, SMALLEST
from lewm_core.stats.primary import FULL, PRIMARY_HYPOTHESES
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, VERDICTS
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing
from lewm_core.utils.workspace import FIGURES, ROOT

README = ROOT / "README.md"
YES = {SUPPORTED: "yes", CONTRADICTED: "no", UNDECIDED: UNDECIDED, UNTESTED: UNTESTED}
NO = YES | {SUPPORTED: "no", CONTRADICTED: "yes"}  # to a question that the hypothesis denies
QUESTIONS = (  # the question; its parts: what is asked, the primary hypotheses that answer it, and how
    ("Does supervision by depth (B) help the prediction?",
     (("at full size:", ("H1", "H2"), YES), ("at the pilot's size:", ("H3",), YES))),
    ("Does the help turn to harm as the data grow?", (("some of it is lost from pilot to full:", ("H4",), YES),)),
    ("Do tracks help?", (("alone (D), at full size:", ("H5",), YES), ("beside depth (E), at full size:", ("H6",), NO))),
)
HARM = "full-B"  # the claim that holds B's change against A at full size
PLACES = {h.id: h.places for h in PRIMARY_HYPOTHESES} | {HARM: [("B", FULL)]}  # whose gates each needs open
WHO = "A learns no signal, B depth, B-shuf the depth of other frames; 95 % intervals over seeds"


def answers(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Each of QUESTIONS with its answer: the verdicts of the primary hypotheses and their numbers, in a sentence.

    table: as from `claims.claims_table`.
    """
    found = []
    for question, parts in QUESTIONS:
        told = [_part(table, *part) for part in parts]
        if "harm" in question:
            told.insert(0, _harm(table))
        found.append((question, "; ".join(told)))
    return found


def _part(table: pd.DataFrame, label: str, ids: tuple[str, ...], words: dict[str, str]) -> str:
    """One part of an answer: what holds of all its hypotheses, and by which numbers, or why none."""
    asked = table[table.id.isin(ids)]
    verdict = max(asked.verdict, key=(SUPPORTED, UNDECIDED, UNTESTED, CONTRADICTED).index)  # one 'no' decides
    told = asked.ours
    if verdict == UNTESTED:
        told = dict.fromkeys(_why(table, row.id, row.reason) for row in asked.itertuples() if row.verdict == UNTESTED)
    return f"{label} *{words[verdict]}* ({'; '.join(told)})"


def _harm(table: pd.DataFrame) -> str:
    """Whether B is worse than A at full size, by the interval of its change; nothing where the gates are shut."""
    row = table.set_index("id").loc[HARM]
    verdict, told = UNDECIDED, row.ours
    if row.verdict == UNTESTED:
        verdict, told = UNTESTED, _why(table, HARM, row.reason)
    elif row.high < 0:
        verdict = "no"
    elif row.low > 0:
        verdict = "yes"
    return f"at full size B is worse than A: *{verdict}* ({told})"


def _why(table: pd.DataFrame, id: str, reason: str, state: str = "verdict", numbers: str = "ours") -> str:
    """Why a hypothesis or claim was not tested: the numbers of the gates that are shut; `reason` where none is.

    state, numbers: the columns of the gates' rows, by the outcome or by the paper's metric.
    """
    gates = of_kind(table, "gate")
    places = pd.Series(list(zip(gates.claim, gates.section, strict=True)), gates.index)
    shut = gates[places.isin(PLACES[id]) & (gates[state] == SHUT)]
    return "; ".join(dict.fromkeys(shut[numbers])) or reason


def answer(table: pd.DataFrame) -> str:
    """The README's first block: on what the study is, the questions and their answers, and the figure."""
    told = [f"{number}. **{question}** {_capital(found)}." for number, (question, found)
            in enumerate(answers(table), 1)]
    where, profile = table.data.iloc[0], table.profile.iloc[0]
    return "\n".join([f"**On {where}, profile {profile}**, by {OUTCOME_IN_WORDS}. {WHO}.", "",
                      *told, "", "![The effect of depth, with its verdicts](figures/answer.png)"])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def tested(table: pd.DataFrame) -> str:
    """The README's second block: what holds without training, what was tested and how sensitively."""
    claims = of_kind(table, "claim").verdict.value_counts()
    left = ", ".join(f"{claims.get(v, 0)} {v}" for v in VERDICTS)
    return "\n".join([
        "**Counted, without training:**", "", *facts_told(of_kind(table, "fact")), "",
        "**Tested.** A verdict on an effect needs four gates open: the condition's heads have learnt something of "
        "their target, A beats persistence, A beats the base and training at learning rate 0, and a positive control "
        "(P, the true state as a target) helps.", "", *claims_report.judged_at(table), "",
        f"Smallest effect of interest: {SMALLEST:g} %. *detectable*: the smallest change that so many seeds detect at "
        "80 % power.", "", *primaries_short(table), "", _by_mse(table), "",
        f"Every claim of the paper ({left}), the gates' numbers and the rules: "
        f"[`figures/claims.md`](figures/claims.md). {claims_report.ABOUT}"])


def _by_mse(table: pd.DataFrame) -> str:
    """What the paper's own metric says of depth at full size."""
    row = table.set_index("id").loc[HARM]
    verdict = row.mse_verdict
    if verdict == UNTESTED:
        verdict += f": {_why(table, HARM, row.mse_reason, 'mse_verdict', 'mse_ours')}"
    number = row.mse_ours if row.mse_ours.strip("–") else "no number"
    return (f"By the paper's own metric, the MSE in each model's own latents, depth's effect at full size is {number} "
            f"({verdict}).")


BLOCKS: dict[str, Callable[[pd.DataFrame], str]] = {"answer": answer, "tested": tested}


def markers(block: str) -> tuple[str, str]:
    """The lines that enclose a block in the README."""
    return f"<!-- {block}: written by ./run_all.sh publish -->", f"<!-- end of {block} -->"


def update_readme(readme: Path = README, folder: Path = FIGURES) -> str:
    """Rewrite the blocks between their markers in `readme` from `folder`/claims.csv, and return the new text.

    InputError where the markers of a block are not there exactly once and in order.
    """
    text, table = readme.read_text(), claims_report.read(folder / "claims.csv")
    for name, told in BLOCKS.items():
        begin, end = markers(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed or begin in after or end in before + after:
            raise InputError(readme.name, f"no single block {name} between its markers", f"{begin} … {end}")
        text = f"{before}{begin}\n{told(table)}\n{end}{after}"
    with replacing(readme) as temporary:
        temporary.write_text(text)
    return text
