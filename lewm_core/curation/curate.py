"""Curation from the source to the selection: metadata, measurements, scores, sets, and the files that are left of them.

Nothing is measured twice: what the score needs to know of an episode is kept in the workspace's cache.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from lewm_core.curation import score
from lewm_core.curation.bad_episodes import BadEpisodes
from lewm_core.curation.measurements import add_measurements, measure, read_measurements
from lewm_core.curation.selection import FLAGS, Choice, hand_picked, read_selection, select, write_selection
from lewm_core.signals.backends import check, identity
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils import executors
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, edited, note_written, write_csv
from lewm_core.utils.provenance import code_digest
from lewm_core.utils.workspace import Workspace, relative


@dataclass(frozen=True)
class Curated:
    """What came out.

    rules: by which the episodes were scored. candidates: as from `score.metadata_filter`, all that the source has.
    measurements: as from `add_measurements`, of those that pass. newly_measured: how many were not in the cache.
    scores: as from `score.score`. selection: as it stands in its file. edited: whether a person made it what it is.
    bad: episodes that cannot be read: episode, stage, reason.
    """

    rules: score.Criteria
    candidates: pd.DataFrame
    measurements: pd.DataFrame
    newly_measured: int
    scores: pd.DataFrame
    selection: pd.DataFrame
    edited: bool
    bad: pd.DataFrame

    @property
    def parts(self) -> list[str]:
        """The columns of the score's parts whose signal is there."""
        return [name for name in self.scores if name.startswith("part_") and self.scores[name].notna().any()]

    @property
    def absent(self) -> list[str]:
        """The names of the other parts."""
        others = [name for name in self.scores if name.startswith("part_") and name not in self.parts]
        return [name.removeprefix("part_") for name in others]

    @property
    def table(self) -> pd.DataFrame:
        """Every candidate: episode, task, length, accepted, reason, score and parts (NaN without), selected (bool)."""
        table = self.candidates.merge(self.scores.drop(columns=["task", "length"]), on="episode", how="left")
        table["reason"] = table.reason.mask(table.episode.isin(self.bad.episode), "cannot be read")
        table["selected"] = table.episode.isin(self.selection.episode)
        return table

    @property
    def scored(self) -> pd.DataFrame:
        """The rows of `table` that have a score."""
        table = self.table
        return table[table.score.notna()]

    def sets(self) -> pd.DataFrame:
        """How large the full set and the pilot are: set, episodes, frames, frames per episode, mean score."""
        known = self.table.set_index("episode").score
        rows = []
        for name in FLAGS:
            ones = self.selection[self.selection[name]]
            rows.append({"set": name, "episodes": len(ones), "frames": ones.length.sum(),
                         "frames per episode": ones.length.mean(), "mean score": known.reindex(ones.episode).mean()})
        return pd.DataFrame(rows).set_index("set")

    def origin(self, spec: SourceSpec) -> dict[str, object]:
        """What a figure's record should say of it."""
        source = spec.open()
        return {"layout": source.name, "fingerprint": source.fingerprint, "source": spec.public(),
                "criteria": asdict(self.rules), "bad_episodes": len(self.bad)}

    def first_of_each_task(self, n: int) -> pd.DataFrame:
        """`n` candidates, first one of each instruction, then the next."""
        nth = self.candidates.groupby("task").cumcount()
        return self.candidates.assign(nth=nth).sort_values("nth", kind="stable").head(n)


def instructions(candidates: pd.DataFrame) -> pd.DataFrame:
    """Every instruction, the most frequent first: task, episodes, passed, shortest, longest (frames)."""
    tasks = candidates.task.mask(candidates.task.str.strip() == "", "(no text)")
    table = candidates.assign(task=tasks).groupby("task").agg(
        episodes=("episode", "size"), passed=("accepted", "sum"), shortest=("length", "min"), longest=("length", "max"))
    return table.sort_values("episodes", ascending=False, kind="stable")


def curate(spec: SourceSpec, workspace: Workspace, rules: score.Criteria, choice: Choice, max_bad_share: float,
           reselect: bool, jobs: int, on: str = executors.LOCAL) -> Curated:
    """Read the metadata, measure what passes, score it, select, and write selection, scores and source to the
    workspace.

    A selection that a person edited is kept unless `reselect` is set. max_bad_share: as BadEpisodes has it. jobs:
    parallel processes; 0: one a core. on: where signals are made, as `executors` has it. InputError: see
    `BadEpisodes`, `select`, `hand_picked` and `check`; a kept selection with episodes that the source lacks; no episode
    that can be read.
    """
    ticks = hand_picked(workspace.selection) if choice.pilot_by == "hand" else []
    check(spec.backends, spec.settings)
    bad = BadEpisodes(workspace.bad_episodes, max_bad_share)
    source, index = spec.open(), workspace.cache / "index"
    infos = {info.id: info for info in bad.watch("metadata", lambda on_error: source.infos(on_error, index))}
    candidates = score.metadata_filter(infos.values(), rules)
    keep = edited(workspace.selection) and not reselect
    kept = _kept(workspace.selection, infos) if keep else None
    measurements, new = _measure(spec, workspace, infos, candidates.episode[candidates.accepted], bad, jobs, on)
    if bad.rows and measurements.empty and (candidates.accepted.any() or not infos):
        raise InputError(spec.data, f"none of {len(bad.rows)} episodes that can be read", "at least one",
                         f"All are listed in {relative(bad.path)}; the first of them: {bad.table.reason.iloc[0]}")
    scores = score.score(measurements, rules)
    if keep and len(scores):
        selection = kept
    else:
        selection = select(scores, choice, ticks=ticks, candidates=candidates)
    if not keep:
        write_selection(workspace.selection, selection, choice, rules)
        note_written(workspace.selection)
    spec.save(workspace.source)
    curated = Curated(rules, candidates, measurements, new, scores, selection, keep, bad.table)
    write_csv(workspace.scores, curated.table)
    return curated


def _kept(path: Path, infos: dict[str, EpisodeInfo]) -> pd.DataFrame:
    """The selection that a person edited; InputError where it names episodes that the source does not have."""
    kept = read_selection(path)
    unknown = kept.episode[~kept.episode.isin(infos)]
    if len(unknown):
        raise InputError(relative(path), f"{len(unknown)} episodes that this source does not have (first: "
                         f"{unknown.iloc[0]})", "episodes of the source",
                         "Correct the file, or set reselect=true to write it anew.")
    return kept


def _measure(spec: SourceSpec, workspace: Workspace, infos: dict[str, EpisodeInfo], passed: pd.Series,
             bad: BadEpisodes, jobs: int, on: str) -> tuple[pd.DataFrame, int]:
    """The measurements of the episodes that passed, and how many of them were made now."""
    key = digest(spec.open().fingerprint, *identity(spec.backends, spec.settings), code_digest("signals", "curation"))
    store = workspace.cache / f"measurements-{key}.csv"
    known = read_measurements(store)
    new = passed[~passed.isin(known.episode)]
    read = bad.watch("signals", lambda on_error: packets(spec, new, workspace.signals, jobs, on_error, "signals", on))
    rows = (measure(infos[episode.id], signals, spec.image_size) for episode, signals in read)
    known = add_measurements(store, rows)
    measurements = known[known.episode.isin(passed)]
    return measurements, int(measurements.episode.isin(new).sum())
