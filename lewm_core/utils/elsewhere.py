"""What a worker on another machine does of an item: look whether it can work there at all, then the work."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lewm_core.utils.marks import check_driver
from lewm_core.utils.pool import ONE_THREAD, one_thread
from lewm_core.utils.workers import portable, trace
from lewm_core.utils.workspace import ROOT


def environment() -> dict[str, str]:
    """What the environment of a process elsewhere must say, from its start: where this package is, and one thread, so
    that a run comes out as it does here, to the last bit."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])), **ONE_THREAD}


class Elsewhere:
    """A function of an item, to be called in another process, perhaps of another machine.

    It returns what the function raises. mark: the driver's, as from `marks.driving`.
    """

    def __init__(self, function: Callable[[Any], Any], mark: Path):
        self.function, self.mark = function, mark

    def __call__(self, item: Any) -> Any:
        try:
            one_thread()
            check_driver(self.mark)
            return self.function(item)
        except Exception as error:
            sent = portable(error)
            sent.add_note(trace(error))
            return sent

    def checkpoint(self, item: Any) -> Any:
        """What submitit puts in the queue again when the job is preempted: the same, from the start, since a run leaves
        nothing half-done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, item)
