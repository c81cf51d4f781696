"""The controls that the paper lacks, as one table of runs: which question needs which runs, and what they compare.

A study is a question, an arm one setting of it; conditions are paired by seed within an arm. Every run is judged by
the same test episodes, which none of them trains on. Runs that several studies need are done once.

    scale     {best by score, random} × {pilot, full} sizes, and random ones between: is it scale or curation?
    steps     the pilot for the full set's number of steps, the full set for the pilot's: is it data or steps?
    masks     mask, place and normalisation apart from each other, at the pilot's size
    conflict  the gradients' cosines and norms (in the grad_probes of the runs), at both sizes
    patches   heads and predictors that read patch tokens, at both sizes
    weight    other weights of the auxiliary loss, at both sizes
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core import dataset
from lewm_core.conditions import CONTROLS, PATCH_HEAD, PATCH_PREDICTOR, condition, unavailable
from lewm_core.config import Recipe
from lewm_core.experiments import sets, sweep
from lewm_core.experiments.base import Base
from lewm_core.experiments.run import Run, load_once, result
from lewm_core.stats.paired import paired_change
from lewm_core.train import check, split_of, steps_of
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.workspace import Workspace

MAIN = ("A", "B", "D", "E")
MASKED = ("A", "B", "C1", "C2", "C3", "C4", *(c.name for c in CONTROLS.values() if c.family == "mask"))
PATCHED = ("A", "B", "D", *(c.name for c in CONTROLS.values() if c.variant in (PATCH_HEAD, PATCH_PREDICTOR)))
SINGLE = ("A", "B", "D")  # E is B and D together


@dataclass(frozen=True)
class Sizes:
    """How large the control study is. `episodes` and `seeds` go together: seeds[i] runs of each arm at episodes[i]."""

    episodes: tuple[int, ...]  # the scale curve: the pilot's size first, the full set's last
    seeds: tuple[int, ...]
    test: int  # episodes that judge every run
    weights: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the auxiliary loss
    epochs: int | None = None  # None: as many as in the main study
    n_evals: int = 8  # as Recipe's, in runs of `MAIN` on the best episodes: the others would only take longer
    grad_probes: int = 8

    def __post_init__(self):
        sizes = list(self.episodes)
        if len(sizes) < 2 or sizes != sorted(set(sizes)) or len(self.seeds) != len(sizes) or min(self.seeds) < 1:
            raise InputError("controls", f"episodes {sizes}, seeds {list(self.seeds)}",
                             "two or more growing sizes, and as many numbers of seeds")


PRESETS = {
    "smoke": Sizes((3, 5), (2, 2), test=2, weights=(0.1, 1.0), n_evals=2, grad_probes=2),
    # eight minutes on two cores: fewer epochs and a smaller full set than the main study has
    "quick": Sizes((13, 25, 40), (3, 2, 2), test=24, weights=(0.01, 0.1, 1.0), epochs=2, n_evals=5, grad_probes=5),
    "paper": Sizes((13, 25, 50, 100), (10, 5, 5, 5), test=50),
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


@dataclass(frozen=True)
class Control:
    """One run in its place in the study. `run.scale` is the arm."""

    study: str
    selection: str
    run: Run


@dataclass(frozen=True)
class Pool:
    """What `plan` builds runs from."""

    data: dataset.Data  # without pixels
    path: Path
    table: pd.DataFrame
    base: Base
    recipe: Recipe
    sizes: Sizes

    def arm(self, study: str, name: str, conditions: Sequence[str], place: int, selection: str = "best",
            **changes: object) -> Iterator[Control]:
        """Runs of `conditions` at episodes[place]; `changes` are those of the recipe."""
        test = tuple(self.table[self.table.test].episode)
        for seed in range(self.sizes.seeds[place]):
            episodes = training_set(self.table, selection, self.sizes.episodes[place], seed)
            fingerprint = self.data.fingerprint_of([*episodes, *test])
            for c in conditions:
                recipe = replace(self.recipe, **self._changes(c, selection, changes))
                run = Run(c, name, seed, str(self.path), fingerprint, self.base, recipe, episodes, test)
                yield Control(study, selection, run)

    def _changes(self, name: str, selection: str, changes: dict[str, object]) -> dict[str, object]:
        """What of the recipe is different for runs of the condition `name`."""
        own = dict(changes)
        if not condition(name).terms:  # the loss weight means nothing: one run serves every weight
            own.pop("head_weight", None)
        if selection == "best" and name in MAIN:
            own |= {"n_evals": self.sizes.n_evals, "grad_probes": self.sizes.grad_probes}
        return own

    def ends(self, study: str, name: str, conditions: Sequence[str], **changes: object) -> Iterator[Control]:
        """The same at the pilot's and at the full set's size."""
        for place, size in ((0, "pilot"), (-1, "full")):
            yield from self.arm(study, size + name, conditions, place, **changes)

    def steps(self, place: int) -> int:
        """The optimizer steps that the recipe takes on the best episodes[place]."""
        run = next(self.arm("", "", ["A"], place)).run
        return steps_of(split_of(run.choose(self.data), self.recipe, run.seed, run.test), self.recipe)


def scale(pool: Pool) -> Iterator[Control]:
    sizes = pool.sizes.episodes
    for place, n in enumerate(sizes):
        if n in (sizes[0], sizes[-1]):
            yield from pool.arm("scale", f"best {n}", MAIN, place, "best")
        yield from pool.arm("scale", f"random {n}", MAIN, place, "random")


STEP_ARMS = (  # of `steps`, equal numbers of steps side by side
    "pilot set, its own steps", "full set, the pilot set's steps", "pilot set, the full set's steps",
    "full set, its own steps",
)


STEP_ARMS = (  # of `steps`, equal numbers of steps side by side
    "pilot set, its own steps", "full set, the pilot set's steps", "pilot set, the full set's steps",
    "full set, its own steps",
)


def steps(pool: Pool) -> Iterator[Control]:
    for place, own, other in ((0, "pilot", "full"), (-1, "full", "pilot")):
        yield from pool.arm("steps", f"{own} set, its own steps", SINGLE, place)
        yield from pool.arm("steps", f"{own} set, the {other} set's steps", SINGLE, place, steps=pool.steps(-1 - place))


def masks(pool: Pool) -> Iterator[Control]:
    yield from pool.arm("masks", "pilot", MASKED, 0)


def conflict(pool: Pool) -> Iterator[Control]:
    yield from pool.ends("conflict", "", MAIN)


def patches(pool: Pool) -> Iterator[Control]:
    yield from pool.ends("patches", "", PATCHED)


def weight(pool: Pool) -> Iterator[Control]:
    for value in pool.sizes.weights:
        yield from pool.ends("weight", f", weight {value:g}", SINGLE, head_weight=value)


STUDIES: dict[str, Callable[[Pool], Iterator[Control]]] = {
    f.__name__: f for f in (scale, steps, masks, conflict, patches, weight)}


def plan(studies: Iterable[str], sizes: Sizes, table: pd.DataFrame, path: Path, base: Base,
         recipe: Recipe) -> tuple[list[Control], pd.DataFrame]:
    """The runs of the named studies, and the conditions that the data cannot serve: condition, scale, reason.

    table: as `choose` makes it, of the dataset at `path`. recipe: the main study's. InputError before any training.
    """
    named = [pick(STUDIES, name, "study") for name in studies]
    data = load_once(path)
    base = replace(base, action_dim=data["action"].shape[1])
    check(data, condition("A"), base.load(seed=0)[0])
    small = replace(data, columns={k: v for k, v in data.columns.items() if k != "pixels"})
    recipe = replace(recipe, epochs=sizes.epochs or recipe.epochs)
    pool = Pool(small, path, table, base, recipe, sizes)
    controls = [control for study in named for control in study(pool)]
    for episodes, test, seed in dict.fromkeys((c.run.episodes, c.run.test, c.run.seed) for c in controls):
        split_of(small.select([*episodes, *test]), recipe, seed, test)  # an InputError if there is too little
    missing = unavailable(data, dict.fromkeys(c.run.condition for c in controls))
    return [c for c in controls if c.run.condition not in missing], sweep.skipped_table(missing, "controls")


def of_run(workspace: Workspace, profile: str, base: Base, recipe: Recipe,
           studies: Iterable[str] = tuple(STUDIES)) -> tuple[list[Control], pd.DataFrame]:
    """`plan` on the pool that notebook 02 wrote, in the profile's sizes."""
    sizes = pick(PRESETS, profile, "profile with controls")
    table = pd.read_csv(workspace.need(workspace.sets, "02_extraction"), dtype={"episode": str})
    path = workspace.need(workspace.dataset_file, "02_extraction")
    return plan(studies, sizes, sets.pool(table), path, base, recipe)


def results(controls: Iterable[Control], folder: Path) -> pd.DataFrame:
    """The finished runs' metrics, tidy: study, arm, selection (best or random), episodes (trained on), steps,
    head_weight and `sweep`'s columns (condition, scale, seed, split, metric, value, run), of which `scale` repeats the
    arm, so that the statistics pair runs within it. A run has its rows in every study that it belongs to."""
    found = []
    for c in controls:
        place = {"study": c.study, "arm": c.run.scale, "selection": c.selection, "episodes": len(c.run.episodes),
                 "steps": result(folder, c.run.key)["steps"], "head_weight": c.run.recipe.head_weight}
        found += [place | row for row in sweep.rows(c.run, folder)]
    return pd.DataFrame(found)


def along_training(table: pd.DataFrame, folder: Path, split: str = "episode") -> pd.DataFrame:
    """A's MSE, and the changes against it, at every evaluation on the way: condition, scale, seed, split, step, metric
    (mse for A, "mse change %" for the others), value.

    table: as from `results`; runs without evaluations on the way are left out.
    """
    rows = sweep.curves(table, folder, "evals")
    rows = rows[rows.split == split].assign(metric="mse", value=rows.mse)
    changes = pd.concat([paired_change(part).assign(step=step) for step, part in rows.groupby("step")])
    both = [rows[rows.condition == "A"], changes.assign(metric="mse change %", value=changes.change)]
    return pd.concat(both)[["condition", "scale", "seed", "split", "step", "metric", "value"]]


def gradients(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """How the heads' gradients lie to the prediction's along the runs of study `conflict`: scale, condition, seed,
    step, head, cosine, ratio (the weighted norm over the prediction's), norm, norm_to.

    table: as from `results`.
    """
    rows = sweep.curves(table[table.study == "conflict"], folder, "grad_probes")
    rows = rows[rows.term.str.startswith("head_")]
    return rows.assign(head=rows.term.str.removeprefix("head_")).drop(columns="term").reset_index(drop=True)
