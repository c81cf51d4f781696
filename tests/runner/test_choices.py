"""Settings that cannot work are refused in one error; what a choice leaves out is not."""

import pytest

from lewm_core.runner import choices, cli, notebook, plan
from lewm_core.utils.errors import InputError

NOTEBOOKS = [notebook.read_notebook(path) for path in notebook.paths()]


def make(tmp_path, *settings: str, options: tuple[str, ...] = ()) -> plan.Plan:
    """The plan of our own notebooks under these settings."""
    given = [f"--set={setting}" for setting in settings]
    return plan.make_plan(cli.parser().parse_args(["--output", str(tmp_path / "out"), *options, *given]))


@pytest.mark.parametrize("settings, sentences", [
    (["conditions=[A, Z]"], ["'Z'", "one of A, B, C1"]),
    (["conditions=[B, D]"], ["parameter conditions", "[B, D]", "A, the baseline"]),
    (["conditions=[]"], ["A, the baseline"]),
    (["full_conditions=[B]"], ["parameter full_conditions", "A, the baseline"]),
    (["conditions=[A, A, B]"], ["A more than once"]),
    (["pilot_seeds=0"], ["parameter pilot_seeds", "at least 1"]),
    (["full_seeds=-1"], ["parameter full_seeds"]),
    (["epochs=0"], ["parameter epochs"]), (["lr=-1e-4"], ["parameter lr"]), (["directions=0"], ["directions"]),
    (["val_episodes=1.0"], ["val_episodes", "below 1"]), (["val_episodes=-0.1"], ["val_episodes", "at least 0"]),
    (["n_pilot=1"], ["n_pilot", "one is held out", "val_episodes=0"]),
    (["val_episodes=0", "show_episode=ep-00001"], ["show_episode", "held-out"]),
    (["n_pilot=70"], ["n_pilot <= n_full"]), (["pilot_by=luck"], ["'luck'", "score, hand"]),
    (["pilot_by=hand"], ["no pilot that a person ticked"]),
    (["criteria={weight_luck: 3}"], ["weight_luck"]), (["criteria={min_length: 3}"], ["--set min_length=3"]),
    (["model=huge"], ["'huge'", "paper, small, nano"]), (["rollout_scale=medium"], ["'medium'", "pilot, full"]),
    (["rollout_seed=3"], ["rollout_seed", "full_seeds 3", "0 to 2"]),
    (["image_size=70"], ["patches of 16 px", "frames of 70 px", "image_size=64"]),
    (["point_counts=[]"], ["point_counts", "1 to 400"]), (["depth_backend=magic"], ["'magic'", "depth-anything-v2"]),
    (["n_candidates=0"], ["n_candidates", "no last episode"]), (["seed=-1"], ["parameter seed", "at least 0"]),
    (["steps=0"], ["parameter steps", "at least 1"]), (["n_test=-1"], ["parameter n_test"]),
    (["batch_norm=thawed"], ["'thawed'", "paper, frozen, recalibrated"]),
    (["n_test=61"], ["n_test", "61 with n_full 60 and n_top 120", "n_top=121"]),
    (["min_length=50"], ["lengths 50 to 40"]), (["looks=3"], ["looks", "found 3", "1, 2, or None for all 8"]),
    (["looks=many"], ["looks", "'many'"]), (["looks=true"], ["looks", "True"]),
])
def test_what_cannot_work_is_refused(tmp_path, settings, sentences):
    with pytest.raises(InputError) as error:
        make(tmp_path, *settings)
    assert all(s in str(error.value) for s in sentences), str(error.value)
    assert not (tmp_path / "out").exists()


def test_real_data_have_no_looks_to_choose(tmp_path, shared):
    bridge = ("--data", "bridge", "--data-path", str(shared / "bridge_sample"))
    assert make(tmp_path, options=bridge)
    with pytest.raises(InputError, match="data bridge: found looks 1; expected None"):
        make(tmp_path, "looks=1", options=bridge)


def test_the_controls_need_sizes_and_candidates(tmp_path):
    with pytest.raises(InputError, match="n_candidates 40; expected at least 64: 40 to train on and 24 to test on"):
        make(tmp_path, "n_candidates=40", options=("--study", "controls"))
    assert make(tmp_path, options=("--study", "controls", "--profile", "smoke"))
    settings = choices.merged(NOTEBOOKS, {n.name: {} for n in NOTEBOOKS}) | {"profile": "mine", "controls": True}
    (problem,) = choices.controls(settings)
    assert "profile mine, for which it has no sizes" in str(problem) and "smoke or quick" in str(problem)


def test_all_that_is_wrong_stands_in_one_error(tmp_path):
    with pytest.raises(InputError, match="3 that cannot work") as error:
        make(tmp_path, "conditions=[B]", "epochs=0", "model=huge")
    assert str(error.value).count("\n  - ") == 3


@pytest.mark.parametrize("settings", [
    ["conditions=[A]", "full_conditions=[A]"], ["conditions=[A, D]"], ["conditions=[A, B, C3]"], ["val_episodes=0"],
    ["pilot_seeds=1", "full_seeds=1", "probe_seeds=1"], ["n_pilot=1", "val_episodes=0"], ["plan_tasks=0"],
    ["n_test=60"], ["n_test=60", "n_pilot=1"], ["steps=800", "batch_norm=frozen"],
    ["image_size=128"], ["looks=1"], ["looks=2"], ["looks=null"],
])
def test_what_only_leaves_something_out_is_accepted(tmp_path, settings):
    assert make(tmp_path, *settings).chosen


@pytest.mark.parametrize("profile", sorted(p.stem for p in (notebook.FOLDER / "profiles").glob("*.yaml")))
def test_our_profiles_work(tmp_path, profile):
    assert make(tmp_path, options=("--profile", profile)).chosen
