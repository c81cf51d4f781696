"""The house: imports run down only, files and functions stay short enough to be read in one go."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "lewm_core").rglob("*.py"))
FILE, FUNCTION = 250, 50  # lines


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "lewm_core").as_posix()


def functions(tree: ast.Module):
    """Every function and method with its length in lines, from `def` on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


def test_imports_run_down():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_long():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in lengths.items() if n > FILE} == {}


def test_no_function_is_long():
    lengths = {f"{name_of(path)}:{name}": n for path in MODULES for name, n in functions(ast.parse(path.read_text()))}
    assert {name: n for name, n in lengths.items() if n > FUNCTION} == {}


def test_only_rooms_and_the_papers_parts_lie_on_top():
    """A stranger sees the paper first."""
    top = {p.name for p in (ROOT / "lewm_core").glob("*.py")}
    assert top == {"__init__.py", "__main__.py", "config.py", "encoder.py", "model.py", "patch_predictor.py",
                   "heads.py", "losses.py", "sigreg.py", "conditions.py", "train.py", "steps.py", "objective.py",
                   "batch_norm.py", "evaluate.py", "study.py"}
    for room in (p.parent for p in MODULES if p.name == "__init__.py"):
        assert ast.get_docstring(ast.parse((room / "__init__.py").read_text())), f"{room.name} says what it holds"
