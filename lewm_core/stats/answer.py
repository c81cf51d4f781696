"""The paper's two questions answered in words from a table of claims, and the README's blocks that hold the answer.

What is said is computed: another study gives other sentences, and one that could not see an effect says so.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lewm_core.stats import claims_report, paper
from lewm_core.stats.claims_report import SHUT, SHUT_MEANS, facts_told, of_kind, primaries_short
from lewm_core.stats.outcomes import OUTCOME_IN_WORDS, SMALLEST
from lewm_core.stats.paired import number
from lewm_core.stats.primary import FULL, PRIMARY_HYPOTHESES
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, VERDICTS
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing
from lewm_core.utils.workspace import FIGURES, ROOT, SCALES

README = ROOT / "README.md"
YES = {SUPPORTED: "yes", CONTRADICTED: "no", UNDECIDED: UNDECIDED, UNTESTED: UNTESTED}
NO = YES | {SUPPORTED: "no", CONTRADICTED: "yes"}  # to a question that the hypothesis denies
HARM = "full-B"  # the claim that holds B's change against A at full size
QUESTIONS = (  # the question; its parts: what is asked, what answers it (primary hypotheses, or HARM), how
    ("Does depth supervision (B) help the prediction?",
     (("with the full set:", ("H1", "H2"), YES), ("with the pilot set:", ("H3",), YES))),
    ("Does it do harm as the data grow?",
     (("is B worse than A with the full set?", (HARM,), YES),
      ("does its benefit shrink from the pilot set to the full one?", ("H4",), YES))),
    ("Do tracks help?",
     (("alone (D), with the full set:", ("H5",), YES), ("beside depth (E), with the full set:", ("H6",), NO))),
)
PLACES = {h.id: h.places for h in PRIMARY_HYPOTHESES} | {HARM: [("B", FULL)]}  # whose gates each needs open
MEASURE = (f"Measured is {OUTCOME_IN_WORDS}; told is by how many per cent that changes (negative is better), with "
           "95 % intervals over training seeds. A is fine-tuned without a signal, B also predicts depth, B-shuf the "
           "depth of other frames, a control.")


def answers(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Each of QUESTIONS with its answer: the verdicts of the primary hypotheses and their numbers, in a sentence. Then
    what the paper's own metric says of depth.

    table: as from `claims.claims_table`.
    """
    found = []
    for question, parts in QUESTIONS:
        told = [_harm(table, label) if ids == (HARM,) else _part(table, label, ids, words)
                for label, ids, words in parts]
        found.append((question, "; ".join(told)))
    return [*found, ("By the paper's own metric?", _by_mse(table))]


def _part(table: pd.DataFrame, label: str, ids: tuple[str, ...], words: dict[str, str]) -> str:
    """One part of an answer: what holds of all its hypotheses, and by which numbers, or why none."""
    asked = table[table.id.isin(ids)]
    verdict = max(asked.verdict, key=(SUPPORTED, UNDECIDED, UNTESTED, CONTRADICTED).index)  # one 'no' decides
    told = asked.ours
    if verdict == UNTESTED:
        told = dict.fromkeys(_why(table, row.id, row.reason) for row in asked.itertuples() if row.verdict == UNTESTED)
    return f"{label} *{words[verdict]}* ({'; '.join(told)})"


def _harm(table: pd.DataFrame, label: str) -> str:
    """`label`, and whether B is worse than A by the interval of its change; not tested where the gates are shut."""
    row = table.set_index("id").loc[HARM]
    verdict, told = UNDECIDED, row.ours
    if row.verdict == UNTESTED:
        verdict, told = UNTESTED, _why(table, HARM, row.reason)
    elif row.high < 0:
        verdict = "no"
    elif row.low > 0:
        verdict = "yes"
    return f"{label} *{verdict}* ({told})"


def _why(table: pd.DataFrame, id: str, reason: str, state: str = "verdict", numbers: str = "ours") -> str:
    """Why a hypothesis or claim was not tested: the gates that are shut, with their numbers; `reason` where none is.

    state, numbers: the columns of the gates' rows, by the outcome or by the paper's metric.
    """
    gates = of_kind(table, "gate")
    places = pd.Series(list(zip(gates.claim, gates.section, strict=True)), gates.index)
    shut = gates[places.isin(PLACES[id]) & (gates[state] == SHUT)]
    told = [f"{SHUT_MEANS[row.id]}: {getattr(row, numbers)}" for row in shut.itertuples()]
    return "; ".join(dict.fromkeys(told)) or escape.markdown(reason)


def _by_mse(table: pd.DataFrame) -> str:
    """What the paper's own metric says of depth at full size."""
    row = table.set_index("id").loc[HARM]
    effect = row.mse_ours if row.mse_ours.strip("–") else "no number"
    verdict = f"*{YES[row.mse_verdict]}*"
    if row.mse_verdict == UNTESTED:
        verdict += f" ({_why(table, HARM, row.mse_reason, 'mse_verdict', 'mse_ours')})"
    return f"the MSE in each model's own latents, of B against A with the full set: {effect}; no effect? {verdict}"


def papers() -> str:
    """What the paper reports of depth."""
    told = [f"by {number(paper.reported(3, scale)['B'])} % on {paper.EPISODES[scale]} episodes" for scale in SCALES]
    return f"The paper reports that depth supervision changes the prediction error {' and '.join(told)} of a robot."


def answer(table: pd.DataFrame) -> str:
    """The README's first block: what the paper reports, on what the study is, the answers, and the figure."""
    told = [f"{place}. **{question}** {_capital(found)}." for place, (question, found)
            in enumerate(answers(table), 1)]
    where, profile = map(escape.markdown, (table.data.iloc[0], table.profile.iloc[0]))
    return "\n".join([f"{papers()} **Here, on {where}, profile {profile}:**", "", *told, "", MEASURE,
                      claims_report.ABOUT, "", "![The effect of depth, with its verdicts](figures/answer.png)"])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def tested(table: pd.DataFrame) -> str:
    """The README's second block: what was tested and how sensitively, and what holds without training."""
    claims = of_kind(table, "claim").verdict.value_counts()
    left = ", ".join(f"{claims.get(v, 0)} {v}" for v in VERDICTS)
    return "\n".join([
        "A verdict on an effect needs four gates open: the condition's heads learnt more of their target than a "
        "constant knows; A beats persistence, which repeats the last latent; A is better than the base before "
        "fine-tuning and than all steps at learning rate 0 (lr-0); and a positive control helps (P, whose target is "
        "the true state).", "",
        *claims_report.judged_at(table), "",
        "The hypotheses were named beforehand, and their verdicts are corrected for their number. Smallest effect of "
        f"interest: {SMALLEST:g} %. *n*: seeds; *detectable*: the smallest change, in the number's unit, that so many "
        "detect at 80 % power.", "", *primaries_short(table), "",
        f"Of the paper's {sum(claims)} claims: {left}. Each with its number, the gates' numbers and the rules: "
        "[`figures/claims.md`](figures/claims.md).", "",
        "Counted, without training:", "", *facts_told(of_kind(table, "fact"))])


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
