"""Runs on episodes that were held out before, or trained on, are never shown for others.

The story: a study is done. Somebody unticks an episode in the curation browser, saves, and makes the dataset anew, but
trains nothing. Whoever then opens a notebook that shows runs is told which to run again.
"""

import pandas as pd
import pytest

from lewm_core.curation.selection import read_selection
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import Workspace
from tests.notebooks.cells import run_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OPTIONS = ["--set", "conditions=[A]", "--set", "full_conditions=[A]", "--set", "pilot_seeds=1", "--set", "full_seeds=1"]
NEXT = {"04": "03_pilot_ablation", "06": "05_full_scale", "07": "05_full_scale", "09": "03_pilot_ablation"}


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The folder of a finished study whose dataset was then made of other episodes."""
    output = tmp_path_factory.mktemp("study")
    run_study(output, *OPTIONS)
    path = Workspace(output, output / "figures").selection
    selection = read_selection(path)
    unticked = selection[selection.pilot].episode.iloc[0]
    table = pd.read_csv(path, dtype={"episode": str})
    table.loc[table.episode == unticked, ["pilot", "full"]] = "no"
    table.to_csv(path, index=False)
    run_study(output, "--only", "02", *OPTIONS)
    return output


@pytest.mark.parametrize("notebook", NEXT)
def test_old_runs_are_not_shown_for_new_data(changed, notebook):
    with pytest.raises(InputError, match=f"Run {NEXT[notebook]} again"):
        run_study(changed, "--only", notebook, *OPTIONS)


def test_running_the_named_notebook_mends_it(changed):
    run_study(changed, "--only", "03,04", *OPTIONS)
