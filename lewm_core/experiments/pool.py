"""The pool of the controls: how large their study is, and which episodes it trains on and is judged by."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lewm_core.conditions import CONTROLS, TAUGHT
from lewm_core.stats.outcomes import BASE, POSITIVE, UNTAUGHT
from lewm_core.utils.errors import InputError, pick


@dataclass(frozen=True)
class Sizes:
    """How large the control study is. `episodes` and `seeds` go together: seeds[i] runs of each arm at episodes[i]."""

    episodes: tuple[int, ...]  # the scale curve: the pilot's size first, the full set's last
    seeds: tuple[int, ...]
    test: int  # episodes that judge every run
    weights: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the auxiliary loss
    epochs: int | None = None  # None: as many as in the main study
    n_evals: int = 8  # as Recipe's, in runs of `control_arms.MAIN` on the best episodes; the others would take longer
    grad_probes: int = 8
    blocks: tuple[str, ...] = ("A", "B", "B-shuf")  # conditions of the study of that name
    targets: tuple[str, ...] = tuple(c.name for c in CONTROLS.values() if c.variant in TAUGHT)  # of `targets`, likewise
    norms: int = 3  # seeds of the study batch_norm
    references: tuple[str, ...] = (BASE,)  # of every arm; base takes no training, lr-0 and P a run a seed and arm

    def __post_init__(self):
        sizes = list(self.episodes)
        if len(sizes) < 2 or sizes != sorted(set(sizes)) or len(self.seeds) != len(sizes) or min(self.seeds) < 1:
            raise InputError("controls", f"episodes {sizes}, seeds {list(self.seeds)}",
                             "two or more growing sizes, and as many numbers of seeds")


PRESETS = {
    "smoke": Sizes((3, 5), (2, 2), test=2, weights=(0.1, 1.0), n_evals=2, grad_probes=2,
                   targets=("B-50", "B-detached", "D-raw"), norms=2),
    # eight minutes on two cores: fewer epochs and a smaller full set than the main study has
    "quick": Sizes((13, 40), (3, 2), test=24, weights=(0.1, 1.0), epochs=2, n_evals=3, grad_probes=5, blocks=("A",),
                   targets=("B-50", "B-net"), norms=1),
    # 340 runs beside the main study's: about four hours on two cores that had other work, too
    "laptop": Sizes((13, 60), (4, 4), test=40, weights=(0.1, 1.0), n_evals=5, grad_probes=5,
                    targets=("B-25", "B-50", "B-other", "B-noise", "B-net", "B-detached", "D-raw", "P-detached")),
    "paper": Sizes((13, 25, 50, 100), (10, 5, 5, 5), test=50, references=(*UNTAUGHT, POSITIVE)),
}


def choose(scores: pd.DataFrame, sizes: Sizes, rng: np.random.Generator) -> pd.DataFrame:
    """Which episodes the controls use: columns episode, score, best, random (places from 1; 0: not in it), test (bool).
    First the test episodes are drawn from all that were scored; of the others the best by score are one selection and
    random ones the other, both as large as the full set (they may overlap).
    scores: the table that notebook 01 writes; a row without a score did not pass the filter.
    """
    scored = scores[scores.score.notna()].sort_values("episode")[["episode", "score"]].reset_index(drop=True)
    full, needed = sizes.episodes[-1], sizes.episodes[-1] + sizes.test
    if len(scored) < needed:
        raise InputError("controls", f"{len(scored)} scored episodes", f"{needed}: {full} to train on and {sizes.test} "
                         "to test on", "Take more with --set n_candidates=N.")
    order = rng.permutation(len(scored))
    table = scored.assign(best=0, random=0, test=False)
    table.loc[order[: sizes.test], "test"] = True
    table.loc[order[sizes.test : needed], "random"] = range(1, full + 1)
    best = table[~table.test].sort_values(["score", "episode"], ascending=[False, True]).head(full)
    table.loc[best.index, "best"] = range(1, full + 1)
    return table[table.test | (table.random > 0) | (table.best > 0)].reset_index(drop=True)


def draw_pool(scores: pd.DataFrame, profile: str) -> pd.DataFrame:
    """`choose` in the profile's sizes."""
    return choose(scores, pick(PRESETS, profile, "profile with controls"), np.random.default_rng(0))


def training_set(pool: pd.DataFrame, selection: str, n: int, seed: int) -> tuple[str, ...]:
    """n episodes of a selection: the best n, the same for every seed, or n random ones, others for every seed, so that
    an interval over seeds covers which were drawn. For one seed a smaller random set lies inside a larger one."""
    ranked = pool[pool[selection] > 0].sort_values(selection).episode.tolist()
    if selection == "random":
        ranked = [ranked[i] for i in np.random.default_rng([seed, 3]).permutation(len(ranked))]
    if len(ranked) < n:
        raise InputError(f"pool, {selection}", f"{len(ranked)} episodes", f"at least {n}", "Run 02_extraction again.")
    return tuple(ranked[:n])
