"""The controls that the paper lacks, as one table of runs: which question needs which runs, and what they compare.

A study is a question, an arm one setting of it; conditions are paired by seed within an arm. Every run is judged by
the same test episodes, which none of them trains on. Runs that several studies need are done once.

    scale     {best by score, random} × {pilot, full} sizes, and random ones between: is it scale or curation?
    steps     the pilot for the full set's number of steps, the full set for the pilot's: is it data or steps?
    masks     mask, place and normalisation apart from each other, at the pilot's size
    conflict  the gradients' cosines and norms (in the grad_probes of the runs), at both sizes
    patches   heads and predictors that read patch tokens, at both sizes
    weight    other weights of the auxiliary loss, at both sizes
    blocks    random episodes, of which blocks are held out, at both sizes: is the leak shared frames, or episodes?

On the main study's episodes and with its recipe, so that runs which notebooks 03 or 05 have done are these very runs:

    protocol    the main study's recipe and the paper's, which couples the steps to the size
    targets     other targets for the same heads, detached heads, other frames' targets by share; at full size
    batch_norm  the baseline under each way of batch normalisation, at full size
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lewm_core.conditions import CONTROLS, PATCH_HEAD, PATCH_PREDICTOR, condition, unavailable
from lewm_core.config import BATCH_NORM, Recipe
from lewm_core.experiments import sweep
from lewm_core.experiments.base import Base
from lewm_core.experiments.control_arms import MAIN, Control, Pool
from lewm_core.experiments.draws import Episodes
from lewm_core.experiments.pool import PRESETS, Sizes
from lewm_core.experiments.run import load_once, result
from lewm_core.experiments.sets import Sets
from lewm_core.stats.outcomes import UNTAUGHT
from lewm_core.stats.paired import paired_change
from lewm_core.train import check, split_of
from lewm_core.utils.errors import pick
from lewm_core.utils.workspace import SCALES, Workspace

MASKED = ("A", "B", "C1", "C2", "C3", "C4", *(c.name for c in CONTROLS.values() if c.family == "mask"))
PATCHED = ("A", "B", "D", *(c.name for c in CONTROLS.values() if c.variant in (PATCH_HEAD, PATCH_PREDICTOR)))
SINGLE = ("A", "B", "D")  # E is B and D together
TWINNED = ("A", "B", "B-shuf", "P", *UNTAUGHT)
ANSWERED = ("A", "B", "B-shuf", "D", "D-shuf", "P", *UNTAUGHT)  # what notebook 05 has run
NORMED = ("A", *UNTAUGHT)
BLOCKS = 0.3  # share of the training episodes of which half is held out in one block


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


def steps(pool: Pool) -> Iterator[Control]:
    for place, own, other in ((0, "pilot", "full"), (-1, "full", "pilot")):
        yield from pool.arm("steps", f"{own} set, its own steps", SINGLE, place, steps=None)
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


def blocks(pool: Pool) -> Iterator[Control]:
    """Of random episodes, as the test episodes are: a block is then as an unseen episode but for what it shares."""
    yield from pool.ends("blocks", "", pool.sizes.blocks, selection="random", val_blocks=BLOCKS)


FULL = SCALES[-1]
PROTOCOL_ARMS = tuple(f"{scale}{recipe}" for scale in SCALES for recipe in ("", ", the paper's recipe"))


def protocol(pool: Pool) -> Iterator[Control]:
    paper = {"steps": None, "lr": Recipe().lr, "batch_norm": Recipe().batch_norm}  # epochs decide
    for scale in SCALES:
        yield from pool.main("protocol", scale, scale, TWINNED)
        yield from pool.main("protocol", f"{scale}, the paper's recipe", scale, TWINNED, **paper)


def targets(pool: Pool) -> Iterator[Control]:
    yield from pool.main("targets", FULL, FULL, (*ANSWERED, *pool.sizes.targets))


def batch_norm(pool: Pool) -> Iterator[Control]:
    for name in BATCH_NORM:
        yield from pool.main("batch_norm", name, FULL, NORMED, pool.sizes.norms, batch_norm=name)


STUDIES: dict[str, Callable[[Pool], Iterator[Control]]] = {
    f.__name__: f for f in (scale, steps, masks, conflict, patches, weight, blocks, protocol, targets, batch_norm)}


def plan(studies: Iterable[str], sizes: Sizes, known: Sets, path: Path, base: Base,
         recipe: Recipe) -> tuple[list[Control], pd.DataFrame]:
    """The runs of the named studies, and the conditions that the data cannot serve: condition, scale, reason.

    known: the sets of the dataset at `path`, with a pool. recipe: the main study's. InputError before any training.
    """
    named = [pick(STUDIES, name, "study") for name in studies]
    data = load_once(path)
    base = replace(base, action_dim=data["action"].shape[1])
    check(data, condition("A"), base.load(seed=0)[0])
    small = sweep.without_frames(data)
    shorter = replace(recipe, epochs=sizes.epochs or recipe.epochs)
    pool = Pool(small, path, known, base, shorter, recipe, sizes)
    controls = [control for study in named for control in study(pool)]
    parts = dict.fromkeys((c.run.episodes, c.run.test, c.run.seed, c.run.recipe.val_blocks) for c in controls)
    for episodes, test, seed, val_blocks in parts:
        own = Episodes(episodes, test)
        divided = replace(recipe, val_blocks=val_blocks)
        split_of(small.select(own.all), divided, seed, test)  # an InputError if there is too little
    missing = unavailable(data, dict.fromkeys(c.run.condition for c in controls))
    return [c for c in controls if c.run.condition not in missing], sweep.skipped_table(missing, "controls")


def of_run(workspace: Workspace, profile: str, base: Base,
           recipe: Recipe) -> tuple[list[Control], pd.DataFrame]:
    """`plan` of all studies on the pool that notebook 02 wrote, in the profile's sizes."""
    sizes = pick(PRESETS, profile, "profile with controls")
    path = workspace.need(workspace.dataset_file, "02_extraction")
    return plan(STUDIES, sizes, Sets.read(workspace), path, base, recipe)


def results(controls: Iterable[Control], folder: Path) -> pd.DataFrame:
    """The finished runs' metrics, tidy: study, arm, selection (best, random or main), episodes (trained on), steps,
    head_weight and `sweep`'s columns (condition, scale, seed, split, metric, value, run), of which `scale` repeats the
    arm, so that the statistics pair runs within it. A run has its rows in every study that it belongs to."""
    found = []
    for c in controls:
        place = {"study": c.study, "arm": c.run.scale, "selection": c.selection, "episodes": len(c.run.episodes),
                 "steps": result(folder, c.run.key)["steps"], "head_weight": c.run.recipe.head_weight}
        found += [place | row for row in sweep.rows(c.run, folder)]
    return pd.DataFrame(found)


def along_training(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """A's MSE, and the changes against it, at every evaluation on the way: condition, scale, seed, split, step, metric
    (mse for A, "mse change %" for the others), value.

    table: as from `results`; runs without evaluations on the way are left out.
    """
    rows = sweep.curves(table, folder, "evals")
    rows = rows[rows.split == "episode"].assign(metric="mse", value=rows.mse)
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
