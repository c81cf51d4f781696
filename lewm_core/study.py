"""What a notebook holds of its study: the tables and data that lie in its folder, the runs, and one way to show a
figure.

    study = Study(output, figures, profile, data)
    pilot = study.data("pilot")                                       # episodes, one file for all scales
    results = study.run(conditions, "pilot", seeds, start, recipe)    # trains what is not there yet
    study.show(figure, "figure1", table, study.about("pilot"))        # draws, and keeps picture, numbers and origin

Nothing is read before it is asked for, and nothing twice.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from lewm_core.config import Recipe
from lewm_core.curation.selection import chosen_by, read_selection
from lewm_core.dataset import Data
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import audit, design
from lewm_core.experiments import base as bases
from lewm_core.experiments import controls, packing, sets, sweep
from lewm_core.experiments.base import Base
from lewm_core.experiments.draws import DrawSizes
from lewm_core.experiments.run import load_once, result
from lewm_core.experiments.sets import Sets
from lewm_core.model import LeWM
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.stats import claims_report, evidence_rows, paper
from lewm_core.stats.evidence import Evidence, gather
from lewm_core.utils import executors, provenance
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import write_csv
from lewm_core.utils.workspace import MEASURED, RAN, SCALES, Workspace, relative
from lewm_core.viz import style


class Study:
    """The handle of one study's folder.

    output: folder of everything that is not a figure; figures: folder of the figures. Both from the repository's root.
    profile, data: what figures say of their origin; data is a source's name (`sources.registry`).
    on: where episodes and runs are worked at, as `utils.executors` has it.
    """

    def __init__(self, output: str | Path, figures: str | Path, profile: str, data: str, on: str = executors.LOCAL):
        self.workspace = Workspace(output, figures)
        self.runs = self.workspace.runs  # the folder of finished runs
        self.profile, self.source_name, self.on = profile, data, on
        self.started = time.time()

    # What earlier notebooks left

    @cached_property
    def source(self) -> SourceSpec:
        """Which episodes notebook 01 opened."""
        spec = SourceSpec.load(self.workspace.need(self.workspace.source))
        if spec.data != self.source_name:
            raise InputError(relative(self.workspace.source), f"data {spec.data}", f"data {self.source_name}",
                             "Run 01_curation with it first.")
        return spec

    @property
    def selection(self) -> pd.DataFrame:
        """The selected episodes as they stand in the file, which a person may have edited: episode, full, pilot, …"""
        return read_selection(self.workspace.need(self.workspace.selection))

    @property
    def selected_by(self) -> dict[str, object]:
        """How the selection was made, for the record."""
        return chosen_by(self.workspace.selection)

    @property
    def scores(self) -> pd.DataFrame:
        """Every candidate with its score, as notebook 01 wrote it."""
        return pd.read_csv(self.workspace.need(self.workspace.scores), dtype={"episode": str})

    @cached_property
    def sets(self) -> Sets:
        """Which episodes of the dataset file are which, and what each run trains on and is judged by."""
        return Sets.read(self.workspace)

    @cached_property
    def everything(self) -> Data:
        """Every episode of the dataset file. Whatever reads finished runs takes from it what each run had."""
        return load_once(self.workspace.need(self.workspace.dataset_file, "02_extraction"))

    def episodes(self, scale: str) -> list[str]:
        """The names of the episodes of `scale` (pilot, full or pool), in their order; of all seeds."""
        return self.sets.episodes(scale)

    @lru_cache(maxsize=8)  # noqa: B019  (a notebook has one study, and it lives as long as the kernel)
    def data(self, scale: str, seed: int | None = None) -> Data:
        """The frames and signals of `scale` (pilot, full or pool). seed: what its runs have."""
        if seed is not None and not len(self.sets.draws):
            return self.data(scale)  # the same for every seed
        return self.everything.select(self.episodes(scale) if seed is None else self.sets.of_run(scale, seed).all)

    def write_dataset(self, with_pool: bool, sizes: DrawSizes, jobs: int = 0) -> None:
        """Make the signals of every episode of the study and write them to its one dataset file (`packing.write`)."""
        packing.write(self.workspace, self.source, self.profile, self.scores if with_pool else None, sizes, jobs,
                      self.on)
        for name in ("sets", "everything"):
            self.__dict__.pop(name, None)  # read anew
        Study.data.cache_clear()

    @property
    def frames(self) -> pd.Series:
        """The length of each episode of the dataset file, by name."""
        return pd.Series(self.everything["ep_len"], self.everything["episode_id"])

    def set_sizes(self) -> pd.DataFrame:
        """Episodes, frames and mean score of each set of episodes, beside the paper's numbers."""
        score = self.scores.set_index("episode").score
        return sets.sizes(self.sets.table, self.everything, score).join(paper.sizes())

    # Runs

    def base(self, name: str, model: str) -> Base:
        """Where every run starts, for the actions of the study's data: a base's name, a hub id or a path, and the size
        of our own bases."""
        found = bases.resolve(name, model, self.workspace.cache)
        return replace(found, action_dim=self.everything["action"].shape[1])

    def run(self, conditions: Sequence[str], scale: str, seeds: Sequence[int], start: Base, recipe: Recipe,
            jobs: int = 0) -> pd.DataFrame:
        """Train what is not trained yet and return every metric: condition, scale, seed, split, metric, value, run.

        A condition whose signal the dataset lacks is left out; `skipped` then has the reason.
        """
        runs, skipped = sweep.plan(conditions, scale, seeds, self.workspace.dataset_file, start, recipe,
                                   partial(self.sets.of_run, scale))
        runs = sweep.placed(runs, self.on)
        write_csv(self.workspace.planned(scale), sweep.asked(runs))
        results = sweep.sweep(runs, self.runs, jobs, self.on)
        write_csv(self.workspace.skipped(scale), skipped)
        write_csv(self.workspace.results(scale), results)
        return results

    def run_controls(self, start: Base, recipe: Recipe, jobs: int = 0) -> pd.DataFrame:
        """Train every run of the controls that is not trained yet; the columns of `controls.results`."""
        planned, skipped = controls.of_run(self.workspace, self.profile, start, recipe)
        runs = sweep.placed([control.run for control in planned], self.on)
        planned = [replace(control, run=run) for control, run in zip(planned, runs, strict=True)]
        write_csv(self.workspace.planned("controls"), sweep.asked(runs))
        sweep.sweep(runs, self.runs, jobs, self.on)
        results = controls.results(planned, self.runs)
        write_csv(self.workspace.skipped("controls"), skipped)
        write_csv(self.workspace.results("controls"), results)
        return results

    def results(self, scale: str) -> pd.DataFrame:
        """The metrics of runs that are done. InputError if they were trained on other episodes than those in hand."""
        results = pd.read_csv(self.workspace.need(self.workspace.results(scale), RAN[scale]))
        own = None if scale == "controls" else partial(self.sets.of_run, scale)
        sweep.check_fresh(results, self.runs, self.everything, RAN[scale], own)
        return results

    def skipped(self, scale: str) -> pd.DataFrame:
        """Conditions that could not be run: condition, scale, reason."""
        return pd.read_csv(self.workspace.need(self.workspace.skipped(scale), RAN[scale]))

    def record(self, run: str) -> dict[str, object]:
        """What a finished run says of itself."""
        return result(self.runs, run)

    def recipe(self, results: pd.DataFrame) -> Recipe:
        """How the runs of a results table were trained."""
        return Recipe(**self.record(results["run"].iloc[0])["recipe"])

    def curves(self, results: pd.DataFrame) -> pd.DataFrame:
        """The losses of each epoch on training batches: condition, scale, seed, epoch, step and a column a loss."""
        return sweep.curves(results, self.runs)

    def model(self, results: pd.DataFrame, condition: str, seed: int) -> tuple[LeWM, ActionScale]:
        """A finished run's model in eval mode, and the scale of its actions."""
        return sweep.load_model(results, self.runs, condition, seed)

    def sizes(self, scale: str, results: pd.DataFrame) -> dict[str, float]:
        """How large a scale is, and what its runs took: episodes, frames, training windows, optimizer steps, …; the
        mean over seeds, where each has its own."""
        rows = results[results.scale == scale]
        own = [self.sets.of_run(scale, seed) for seed in rows.seed.unique()]
        records = [self.record(run) for run in rows["run"].unique()]
        return sets.scale_sizes(own, records, self.frames, self.scores.set_index("episode").score)

    def evidence(self, with_controls: bool = False) -> Evidence:
        """All that the claims are judged by, checked to be of the data in hand. with_controls: also notebook 08's."""
        for scale in (*SCALES, *(["controls"] if with_controls else [])):
            self.results(scale)
        return gather(self.workspace, with_controls, design.baselines(), **design.counted(),
                      coverage=audit.coverages({scale: self.data(scale) for scale in SCALES}))

    # What is kept and shown

    def about(self, scale: str | None = None, results: pd.DataFrame | None = None, **more: object) -> dict[str, object]:
        """The origin of a figure: profile, data, base, recipe, seeds, code and libraries.

        scale: whose data it shows. results: whose runs it shows. more: what else the reader of its JSON should know.
        """
        record: dict[str, object] = {"profile": self.profile, "data": self.source_name}
        if scale is not None:
            own = self.everything.fingerprint_of(self.episodes(scale))
            record |= {"fingerprint": own, "selection": self.selected_by, "draws": self.sets.drawn}
        if results is not None:
            first = self.record(results["run"].iloc[0])
            record |= {"seeds": _seeds(results), "base": first["base"], "base_hash": first["base_hash"],
                       "recipe": first["recipe"]}
        record |= {"duration_s": round(time.time() - self.started, 1)} | more
        return provenance.collect(**record)

    def show(self, figure: Figure, name: str, table: pd.DataFrame, about: Mapping[str, object]) -> None:
        """Display a figure with its origin under it, and keep it: picture, every number drawn, origin.

        Without numbers it is only displayed: it then says why there is nothing to draw.
        """
        if table.empty:
            return display(figure)
        style.add_caption(figure, provenance.caption(about))
        style.save_figure(figure, self.workspace.figures / name, table, about)
        display(figure)

    def keep(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table that the claims are judged by (`workspace.MEASURED`)."""
        write_csv(self.workspace.measured(name), table)

    def keep_claims(self, judged: pd.DataFrame, evidence: Evidence) -> None:
        """Keep the table of claims beside the figures, as CSV and Markdown, and what each of their numbers is."""
        claims_report.save(judged, self.workspace.figures)
        evidence_rows.save(evidence_rows.evidence_table(evidence, self.workspace), self.workspace.figures)

    def measured(self, name: str) -> pd.DataFrame:
        """A table that `keep` kept."""
        return pd.read_csv(self.workspace.need(self.workspace.measured(name), MEASURED[name]))


def _seeds(results: pd.DataFrame) -> list[int] | dict[str, int]:
    """The seeds of the runs; where there are several scales, how many each has."""
    scales = results.groupby("scale", sort=False).seed.unique()
    if len(scales) == 1:
        return sorted(int(seed) for seed in scales.iloc[0])
    return {str(scale): len(seeds) for scale, seeds in scales.items()}
