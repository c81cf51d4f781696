"""What a worker on another machine does of an item: look whether it can work there at all, then the work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lewm_core.utils.marks import check_driver
from lewm_core.utils.pool import one_thread
from lewm_core.utils.workers import portable, trace


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
