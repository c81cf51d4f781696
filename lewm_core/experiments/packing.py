"""The one dataset file of a study: every episode that any of its runs trains on or is judged by."""

from dataclasses import asdict
from functools import partial

import pandas as pd

from lewm_core import dataset
from lewm_core.curation.selection import chosen_by, read_record, read_selection
from lewm_core.experiments import draws
from lewm_core.experiments.draws import DrawSizes
from lewm_core.experiments.pool import draw_pool
from lewm_core.experiments.sets import Sets
from lewm_core.signals.pipeline import SourceSpec, every_packet
from lewm_core.utils import executors
from lewm_core.utils.workspace import Workspace


def write(workspace: Workspace, spec: SourceSpec, profile: str, scores: pd.DataFrame | None, sizes: DrawSizes,
          jobs: int = 0, on: str = executors.LOCAL) -> None:
    """Decide which episodes the runs have, make their signals, and write dataset, sets and draws to the workspace.

    scores: every candidate with its score, from which the controls' pool is drawn in the profile's sizes; None for no
    controls. sizes: of what each seed draws from the episodes that notebook 01 kept, without those that a person
    dropped. jobs: parallel processes; 0: one a core. on: where signals are made, as `executors` has it. InputError for
    too few episodes, or one that cannot be read.
    """
    record, kept = read_record(workspace.selection), read_selection(workspace.need(workspace.selection))
    names = kept.episode[~kept.episode.isin(record.dropped if record else ())]
    drawn = draws.draw(names, sizes)
    found = Sets.of(kept, drawn, None if scores is None else draw_pool(scores, profile))
    source = spec.open()
    made = {"source": source.name, "fingerprint": source.fingerprint, "backends": asdict(spec.backends),
            "profile": profile, "selection": chosen_by(workspace.selection)}
    read = partial(every_packet, spec, asked_by=workspace.selection, cache=workspace.signals, jobs=jobs, on=on)
    dataset.pack(workspace.dataset_file, found.table.episode, read, **made)
    found.write(workspace)
