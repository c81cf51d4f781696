"""Sections of docs/speed.md that benchmarks write; the rest of the page, by hand, stays as it is."""

from pathlib import Path

from lewm_core.utils.files import replacing

PAGE = "speed.md"


def marks(name: str) -> tuple[str, str]:
    """The lines between which the section of the benchmark `name` stands."""
    written_by = f"from here to its end this page is written by ./run_all.sh bench {name}"
    return f"<!-- {name}: {written_by} -->", f"<!-- {name}: end -->"


def put(folder: Path, name: str, text: str) -> None:
    """Put `text` where the section of `name` stands in folder/speed.md, or at the end where there is none yet."""
    path, (begin, end) = folder / PAGE, marks(name)
    page = path.read_text() if path.exists() else "# Speed\n"
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = page.partition(begin)
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.partition(end)[2]}")
