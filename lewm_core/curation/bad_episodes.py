"""Episodes that cannot be read: left out, counted, listed in a report; too many of them stop the run."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pandas as pd

from lewm_core.utils.errors import InputError, OnError
from lewm_core.utils.files import write_csv

ALLOWED = 5  # bad episodes that never stop a run, whatever their share
COLUMNS = ["episode", "stage", "reason"]

T = TypeVar("T")


class BadEpisodes:
    """The report of one run; what its stages cannot read is added to it.

    A row is an episode; where a file or the rest of one is lost, it is that file, however many episodes it held.

    Args:
        path: the CSV file of the report; each stage writes it anew when it ends, in whichever way.
        max_share: a stage stops when more than this share of what it has read so far is bad, and more than ALLOWED
            are. 1 never stops.

    Raises:
        InputError: `max_share` is not between 0 and 1.
    """

    def __init__(self, path: Path, max_share: float):
        if not 0 <= max_share <= 1:
            raise InputError("max_bad_share", repr(max_share), "a share from 0 to 1")
        self.path, self.max_share = Path(path), max_share
        self.rows: list[tuple[str, str, str]] = []

    @property
    def table(self) -> pd.DataFrame:
        """A row for each: episode, stage, reason."""
        return pd.DataFrame(self.rows, columns=COLUMNS)

    def watch(self, stage: str, read: Callable[[OnError], Iterable[T]]) -> Iterator[T]:
        """What `read(on_error)` yields. What it reports to `on_error` becomes rows of the report.

        Raises:
            InputError: too many are bad; it says how many of how many and gives the first reasons.
        """
        good, before = 0, len(self.rows)

        def on_error(id: str, error: InputError) -> None:
            self.rows.append((id, stage, str(error)))
            bad = self.rows[before:]
            if len(bad) > ALLOWED and len(bad) > self.max_share * (good + len(bad)):
                first = "; ".join(f"{id}: {reason}" for id, _, reason in bad[:3])
                raise InputError(f"the data ({stage})", f"{len(bad)} of {good + len(bad)} episodes that cannot be read",
                                 f"at most a share of {self.max_share:g}", f"The first: {first} All are listed in "
                                 f"{self.path}. A larger max_bad_share goes on with more.")

        try:
            for item in read(on_error):
                good += 1
                yield item
        finally:
            write_csv(self.path, self.table)
