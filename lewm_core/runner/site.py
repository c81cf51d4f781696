"""A static site of a finished run: its executed notebooks, its claims with their evidence, the code's reference, how-to
pages. Sphinx builds it (docs/site/conf.py) of pages that are written here into a temporary folder.
"""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jupytext

from lewm_core.runner import notebook, site_pages, stamps
from lewm_core.runner.pages import for_readers
from lewm_core.stats import claims_report, evidence_rows
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.provenance import PACKAGE
from lewm_core.utils.workspace import ROOT, Workspace, relative

DOCS = ROOT / "docs"
CONFIGURATION = DOCS / "site"
MENTION = re.compile(r"`[^`]*`|\b[Nn]otebooks? (\d\d)\b")  # a notebook that a text speaks of, not within code
TABLE = re.compile(r"\]\(((?:\.\./)*)(\w+)\.csv\)")  # a link to a table of docs/
COMMENT = re.compile(r"^<!--[^\n]*-->\n", re.MULTILINE)  # for who writes the page; tags are text on the site
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Built:
    """pages: how many HTML pages. warnings: what Sphinx complained of, a line each."""

    pages: int
    warnings: tuple[str, ...]


def site(run: str = "quick") -> dict[str, object]:
    """Build runs/`run`/site. Returns what was done; InputError where that run has no executed notebook."""
    there = [p.parent.name for p in sorted((ROOT / "runs").glob("*/notebooks"))]
    place = Workspace.of_run(known(there, run, "run") if there else run)
    check_whole(place)
    target = place.output / "site"
    built = build(place, target)
    return {"site": relative(target / "index.html"), "pages": built.pages, "warnings": list(built.warnings)}


def check_whole(place: Workspace) -> None:
    """InputError where something that a notebook of the run wrote is no longer that: the pages would show it."""
    for path in sorted(place.stamps.glob("*.json")):
        stamp = stamps.read(place, path.stem)
        for name, found in stamps.problems(place, stamp) if stamp else ():
            raise InputError(name, f"it {found}", f"what {path.stem} wrote",
                             "./run_all.sh with the same options makes it again.")


def build(place: Workspace, target: Path, names: Sequence[str] | None = None,
          rooms: Mapping[str, Sequence[str]] | None = None) -> Built:
    """Build the site of a run in `target`, which is replaced as a whole at the end.

    names: the notebooks that the study has, in their order; those that were not run are told on the index. rooms: the
    modules on each page of the reference; all of lewm_core's by default.
    """
    names = [path.stem for path in notebook.paths()] if names is None else names
    found = [name for name in names if (place.notebooks / f"{name}.ipynb").is_file()]
    if not found:
        raise InputError(relative(place.notebooks), "no executed notebook", "those of a finished run",
                         "Run ./run_all.sh with the same profile first.")
    with tempfile.TemporaryDirectory() as folder:
        source, html = Path(folder, "source"), Path(folder, "html")
        write_pages(place, source, names, found, module_rooms() if rooms is None else rooms)
        built = run_sphinx(source, html, Path(folder, "doctrees"))
        replace_folder(html, target)
    return built


def write_pages(place: Workspace, source: Path, names: Sequence[str], found: Sequence[str],
                rooms: Mapping[str, Sequence[str]]) -> None:
    """Write every page of the site as Sphinx reads it."""
    shown = {name: prepared(place.notebooks / f"{name}.ipynb", found) for name in found}
    (source / "notebooks").mkdir(parents=True)
    for name, node in shown.items():
        jupytext.write(node, source / "notebooks" / f"{name}.ipynb")
    docs = [p for p in sorted(DOCS.rglob("*.md")) if CONFIGURATION not in p.parents]
    for path in docs:
        copied = source / path.relative_to(DOCS)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(TABLE.sub(r"](\1tables/\2.md)", COMMENT.sub("", path.read_text())))
    pages = {f"tables/{path.stem}.md": site_pages.csv_page(path) for path in sorted(DOCS.glob("*.csv"))}
    pages |= {f"api/{room}.md": site_pages.reference(room, modules) for room, modules in rooms.items()}
    pages["api/index.md"] = site_pages.contents("API reference", list(rooms))
    how_to = [path.stem for path in docs if path.parent.name == "how-to"]
    pages["how-to/index.md"] = site_pages.contents("How to", how_to)
    pages["tables/index.md"] = site_pages.contents("Tables", [path.stem for path in sorted(DOCS.glob("*.csv"))])
    pages |= claim_pages(place, source, shown)
    text = (CONFIGURATION / "index.md").read_text()
    about = site_pages.about(place)
    pages["index.md"] = site_pages.index(text, about, pages.pop("answer"), names, found, list(pages))
    for name, page in pages.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(page)


def claim_pages(place: Workspace, source: Path, shown: Mapping[str, Any]) -> dict[str, str]:
    """The pages claims and evidence, and as `answer` what the index has of them; the tables that they speak of are
    copied. shown: the notebooks, to find in them where a table was made."""
    table = place.figures / "claims.csv"
    if not table.is_file():
        return {"answer": "This run has no claims yet: notebook 09 makes them."}
    claims, evidence = claims_report.read(table), evidence_rows.read(place.figures)
    files = {name: path for path in tables_of(place) for name in [relative(path), path.name]}
    copied = {name: files[name] for cell in evidence.source for name in evidence_rows.spread(cell) if name in files}
    for path in [*copied.values(), table, *place.figures.glob(evidence_rows.NAME)]:
        (source / "files").mkdir(exist_ok=True)
        shutil.copyfile(path, source / "files" / path.name)
    where = {name: section for path in copied.values() for name in [path.name]
             if (section := made_in(path, shown))}
    linked, picture = site_pages.linked(claims), place.figures / "answer.png"
    if picture.is_file():
        shutil.copyfile(picture, source / "files" / picture.name)
    drawn = f"files/{picture.name}" if picture.is_file() else ""
    return {"answer": site_pages.answer(linked, drawn), "claims.md": site_pages.claims_page(linked),
            "evidence.md": site_pages.evidence_page(claims, evidence, where, made_in(table, shown))}


def tables_of(place: Workspace) -> list[Path]:
    return [*sorted(place.output.glob("*.csv")), *sorted(place.figures.glob("*.csv"))]


def made_in(table: Path, shown: Mapping[str, Any]) -> tuple[str, str] | None:
    """The notebook and the heading over the first cell that makes a table; None where no notebook shown does."""
    code = site_pages.maker(table.stem)
    for name, node in shown.items():
        heading = ""
        for cell in node.cells:
            if cell.cell_type == "markdown":
                heading = (HEADING.findall(cell.source) or [heading])[-1]
            elif re.search(code, cell.source):
                return name, heading
    return None


def prepared(path: Path, names: Sequence[str]) -> Any:
    """An executed notebook (an nbformat node) for the site: code folded, other notebooks in `names` linked."""
    node = jupytext.read(path)
    for cell in node.cells:
        if cell.cell_type == "markdown":
            cell.source = MENTION.sub(partial(_link, names, ".ipynb"), cell.source)
            continue
        if cell.cell_type == "code":
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        for data in (output.data for output in cell.get("outputs", []) if "data" in output):
            if "text/markdown" in data:
                data["text/markdown"] = MENTION.sub(partial(_link, names, ".html"), data["text/markdown"])
    node = for_readers(node)
    node.cells = together(node.cells)
    return node


def together(cells: list[Any]) -> list[Any]:
    """The cells, each code cell that shows nothing with the next code cell in one."""
    found: list[Any] = []
    for cell in cells:
        last = found[-1] if found else None
        if last and cell.cell_type == last.cell_type == "code" and not last.outputs:
            cell.source = f"{last.source}\n\n{cell.source}"
            found.pop()
        found.append(cell)
    return found


def _link(names: Sequence[str], suffix: str, mention: re.Match[str]) -> str:
    page = next((name for name in names if mention[1] and name.startswith(f"{mention[1]}_")), None)
    return f"[{mention[0]}]({page}{suffix})" if page else mention[0]


def module_rooms() -> dict[str, list[str]]:
    """The modules of lewm_core by room, those on top first; names with the package."""
    rooms: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda p: (p.parent != PACKAGE, p)):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__main__" or any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        module = ".".join(["lewm_core", *(part for part in parts if part != "__init__")])
        rooms.setdefault(parts[0] if len(parts) > 1 else "lewm_core", []).append(module)
    return rooms


def run_sphinx(source: Path, html: Path, doctrees: Path) -> Built:
    """Build `source` into `html`. InputError where Sphinx is not installed."""
    try:
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace
    except ImportError:
        raise InputError("the site", "no Sphinx", "the packages of the extra `site`",
                         "pip install -e .[site] -c constraints.txt") from None
    warnings = io.StringIO()
    with docutils_namespace():
        app = Sphinx(source, CONFIGURATION, html, doctrees, "html", status=None, warning=warnings)
        app.build()
    if app.statuscode:
        raise InputError("the site", warnings.getvalue().strip(), "pages that Sphinx can build")
    lines = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).replace(f"{source}{os.sep}", "").splitlines()
    return Built(len(list(html.rglob("*.html"))), tuple(line for line in lines if line.strip()))


def replace_folder(new: Path, target: Path) -> None:
    """Move the folder `new` to `target`, whose earlier content goes; never half of either is there."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    shutil.copytree(new, beside)
    if target.exists():
        os.rename(target, old)
    os.rename(beside, target)
    shutil.rmtree(old, ignore_errors=True)
