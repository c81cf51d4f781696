"""Progress in the terminal: a bar over the notebooks, and under it the running cell with its own last line."""

import re
import shutil
import sys
import time

from tqdm import tqdm

from lewm_core.utils import escape

DAMAGE = "DamageWarning: "  # before what a notebook says of a damaged file that it makes again
EVERY = 30.0  # seconds between two status lines where there is no terminal


class Progress:
    """Also the file-like object to which papermill copies what a notebook writes to stderr, a sweep's bar above all.

    In a terminal the last such line is shown live below the bar; in a log file one is written now and then.
    """

    def __init__(self, total: int):
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._name, self._cell, self._last, self._time = "", "", "", time.monotonic()
        if self._live:
            style = "{desc} {n}/{total} |{bar}| {elapsed}"
            self._bar = tqdm(total=total, desc="notebooks", file=self._stream, bar_format=style, position=0)
            self._line = tqdm(total=0, file=self._stream, bar_format="{desc}", position=1, leave=False)

    def start(self, name: str) -> None:
        self._name, self._cell, self._last = name, "starting", ""
        self._show() if self._live else self.message(f"{name}: started")

    def cell(self, number: int, total: int) -> None:
        self._cell, self._last = f"cell {number}/{total}", ""
        self._show()

    def write(self, text: str) -> int:
        """What the running cell wrote: its last non-empty line counts, and every line that tells of damage is shown."""
        lines = [s for line in re.split(r"[\r\n]+", text) if (s := escape.plain(line).strip())]
        for line in lines:
            if DAMAGE in line:
                self.message(line.partition(DAMAGE)[2])
        if lines:
            self._last = lines[-1]
            self._show()
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def message(self, text: str) -> None:
        text = escape.message(text)
        if self._live:
            self._line.set_description_str("")
            tqdm.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def done(self, text: str) -> None:
        self.message(text)
        if self._live:
            self._bar.update()

    def close(self) -> None:
        if self._live:
            self._line.close()
            self._bar.close()

    def _show(self) -> None:
        text = f"{self._name}  {self._cell}  {self._last}".rstrip()
        if self._live:
            self._bar.refresh()
            self._line.set_description_str(text[: shutil.get_terminal_size().columns - 1])
        elif self._last and time.monotonic() - self._time > EVERY:
            self._time = time.monotonic()
            self.message(text)
