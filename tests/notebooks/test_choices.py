"""Any valid choice of settings runs to the end: seeded random ones, through all notebooks of the smoke profile."""

import numpy as np
import pytest

from lewm_core.conditions import CONDITIONS
from tests.notebooks.cells import run_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def draw(seed: int) -> list[str]:
    """Options of run_all.sh: a subset of conditions with A, few seeds, with or without held-out episodes, a base."""
    rng = np.random.default_rng(seed)
    others = [name for name in CONDITIONS if name != "A"]
    chosen = ["A", *(name for name in others if rng.random() < rng.choice([0.1, 0.5]))]
    full = ["A", *(name for name in chosen[1:] if rng.random() < 0.7)]
    settings = {
        "conditions": f"[{', '.join(chosen)}]",
        "full_conditions": f"[{', '.join(full)}]",
        "pilot_seeds": rng.integers(1, 3),
        "full_seeds": rng.integers(1, 3),
        "val_episodes": rng.choice(["0", "0.15", "0.4"]),
    }
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return [*options, "--base", str(rng.choice(["tabletop", "random"]))]


TWO = ["--set", "conditions=[A, D]", "--set", "full_conditions=[A, D]"]


@pytest.mark.parametrize("options", [
    ["--set", "conditions=[A]", "--set", "full_conditions=[A]"],
    [*TWO, "--set", "pilot_seeds=1", "--set", "val_episodes=0"],
    [*TWO, "--set", "n_test=5", "--set", "steps=4", "--set", "batch_norm=frozen"],
    draw(3),
], ids=["A alone", "one seed, the paper's split", "draws", "drawn"])  # fmt: skip
def test_a_valid_choice_runs_to_the_end(options, tmp_path):
    run_study(tmp_path, *options)
    assert (tmp_path / "figures" / "figure1.png").is_file() and (tmp_path / "figures" / "claims.md").is_file()
