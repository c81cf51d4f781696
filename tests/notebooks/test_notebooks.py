"""What the notebooks promise together, without running them."""

import ast
from pathlib import Path

import jupytext
import pytest

from lewm_core.runner.notebook import read_notebook, tagged
from lewm_core.utils import parameters

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
NODES = {path.stem: jupytext.read(path) for path in NOTEBOOKS}
DECLARED = {path.stem: read_notebook(path).declared for path in NOTEBOOKS}


def test_there_are_nine_in_order():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{n:02}" for n in range(1, 10)]


def test_parameters_are_read_as_jupytext_reads_them():
    """The runner reads them by itself, since jupytext takes a second to import."""
    for path in NOTEBOOKS:
        assert tagged(path.read_text(), "parameters").strip() == NODES[path.stem].cells[1].source


def test_a_parameter_of_several_notebooks_has_one_default():
    seen: dict[str, dict[str, list[str]]] = {}
    for notebook, values in DECLARED.items():
        for name, value in values.items():
            seen.setdefault(name, {}).setdefault(repr(value), []).append(notebook)
    assert {name: values for name, values in seen.items() if len(values) > 1} == {}


def test_the_quick_profile_is_what_the_notebooks_say():
    assert parameters.read_profile(ROOT / "notebooks" / "profiles" / "quick.yaml") == {}


@pytest.mark.parametrize("name", NODES)
def test_prose_first_then_one_commented_block_of_parameters(name):
    first, second, *rest = NODES[name].cells
    assert first.cell_type == "markdown" and first.source.startswith(f"# {name[:2]} · ")
    assert second.metadata.get("tags") == ["parameters"]
    assert all("  # " in line for line in second.source.splitlines())  # unit or reason beside each
    assert not any(cell.metadata.get("tags") for cell in rest)


def assigned(source: str) -> set[str]:
    """The names that the code binds at its top level, in loops and with statements included."""
    nodes = ast.walk(ast.parse(source))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


@pytest.mark.parametrize("name", NODES)
def test_no_cell_assigns_to_a_parameter(name):
    """So that a cell can be run again by hand and still means what the parameters say."""
    code = [cell.source for cell in NODES[name].cells[2:] if cell.cell_type == "code"]
    assert not set.union(*map(assigned, code)) & set(DECLARED[name])


@pytest.mark.parametrize("name", NODES)
def test_code_cells_are_short(name):
    lengths = [len(cell.source.splitlines()) for cell in NODES[name].cells[2:] if cell.cell_type == "code"
               and not all(line.startswith((" ", ")", "import", "from")) for line in cell.source.splitlines() if line)]
    assert max(lengths) <= 12


SHOWS = {"tell", "say", "show_table", "study.show", "study.keep", "study.keep_claims", "study.write_dataset",
         "CurationBrowser", "widgets.inspect_tracks", "widgets.inspect_masks", "rollout_figures.animation"}


@pytest.mark.parametrize("name", NODES)
def test_what_is_displayed_has_gone_through_what_escapes_it(name):
    """A table that a cell displays by itself would show the texts in it as HTML."""
    for cell in NODES[name].cells:
        if cell.cell_type == "code":
            assert "display(" not in cell.source and ".style." not in cell.source
            shown = [node.value for node in ast.parse(cell.source).body if isinstance(node, ast.Expr)]
            by = {ast.unparse(value.func if isinstance(value, ast.Call) else value) for value in shown}
            assert by <= SHOWS | {"dashboard"}
