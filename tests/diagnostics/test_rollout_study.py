"""Rollouts of held-out episodes, decoders for them, and planning with the same models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lewm_core import dataset
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import planning_study, rollout_study
from lewm_core.diagnostics.decoder import DecoderRecipe
from lewm_core.diagnostics.planning_study import Planned, PlanRecipe
from lewm_core.diagnostics.probes import held_out
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.utils.errors import InputError
from lewm_core.viz import rollout_figures
from lewm_core.viz.style import COLUMNS
from tests.helpers import LENGTHS, TINY, acting_model, random_base, write_squares

HALF = replace(TINY, val_episodes=0.5)
STEPS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


@pytest.fixture(scope="module")
def worlds(data):
    scale = ActionScale.fit(data["action"])
    return rollout_study.encode({"A": (acting_model(), scale), "B": (acting_model(), scale)}, data)


@pytest.fixture(scope="module")
def rollouts(worlds, data):
    return rollout_study.roll_out(worlds, data, "pilot", 0, HALF, STEPS, 2)


def test_the_baseline_is_compared_with_the_first_that_was_run():
    results = pd.DataFrame({"condition": ["A", "D", "A", "B"], "seed": [0, 0, 1, 1]})
    assert rollout_study.compared(results, 0) == ["A", "D"] and rollout_study.compared(results, 1) == ["A", "B"]
    assert rollout_study.compared(results[:1], 0) == ["A"]


def test_only_held_out_episodes_are_rolled_out(rollouts, data):
    held = held_out(data, 0, HALF)
    assert {episode for episode, _ in rollouts.starts} <= set(held) and len(rollouts.starts)
    assert all(start + rollouts.history + STEPS <= LENGTHS[episode] for episode, start in rollouts.starts)
    assert len(rollouts.table) == len(rollouts.starts) * STEPS * 2 * 2
    assert set(rollouts.corpus.episode[rollouts.unseen]) == set(held)
    assert "held-out episodes" in rollouts.told()[0]


def test_where_none_is_held_out_all_are_rolled_out_and_it_is_said(worlds, data):
    every = rollout_study.roll_out(worlds, data, "pilot", 0, replace(TINY, val_episodes=0.0), STEPS, 2)
    assert {episode for episode, _ in every.starts} == set(range(len(LENGTHS))) and not every.unseen.any()
    assert "none of which was held out" in every.told()[0]
    _, psnr = rollout_study.train_decoders(every, DecoderRecipe(steps=2))
    assert set(psnr.index.get_level_values("episodes")) == {"training"}


def test_steps_are_clipped_to_the_longest_episode(worlds, data):
    longest = max(LENGTHS[e] for e in held_out(data, 0, HALF))
    assert rollout_study.roll_out(worlds, data, "pilot", 0, HALF, 99, 2).steps == longest - 3


def test_the_rollout_to_show_is_that_in_which_most_happens(rollouts):
    episode, start = rollout_study.choose(rollouts)
    still = rollouts.table[rollouts.table.model == "static"].groupby(["episode", "start"]).relative.mean()
    assert still[episode, start] == still.max()
    named, _ = rollout_study.choose(rollouts, rollouts.ids[episode])
    assert named == episode
    with pytest.raises(InputError, match="nowhere"):
        rollout_study.choose(rollouts, "nowhere")


def test_columns_and_numbers_of_figure_4(rollouts):
    episode, start = rollout_study.choose(rollouts)
    decoders, psnr = rollout_study.train_decoders(rollouts, DecoderRecipe(steps=2))
    shown = rollout_figures.columns(rollouts, decoders, episode, start)
    names = [column.name for column in rollout_figures.figure4_columns(shown)]
    assert names == ["ground truth", "A retrieval", "B retrieval", "A decoder", "B decoder"]
    names = [column.name for column in rollout_figures.scope_columns(shown)]
    assert names == ["ground truth", "persistence", "A retrieval", "B retrieval", "A retrieval, same episode",
                     "B retrieval, same episode"]
    first = rollouts.data.episode(episode).start + start + rollouts.history
    np.testing.assert_array_equal(shown["ground truth"].frames, rollouts.data["pixels"][first: first + STEPS])
    assert all((frame == rollouts.data["pixels"][first - 1]).all() for frame in shown["persistence"].frames)
    table = rollout_figures.numbers(rollouts, rollouts.of(episode, start), ["distance"])
    assert list(table)[: len(COLUMNS)] == COLUMNS and set(table.episode) == {rollouts.ids[episode]}
    assert set(table.condition) == {"A", "B", "static"} and len(table) == 4 * STEPS
    assert set(psnr.index) == {(m, e) for m in "AB" for e in ("held out", "training")}


def test_tags_and_steadiness_of_every_rollout(rollouts):
    assert set(rollout_study.tags(rollouts)) == set(rollouts.starts)
    steady = rollout_study.stability(rollouts)
    assert set(steady.scope) == {"global", "episode"} and set(steady.model) == {"A", "B"}
    assert (steady[steady.scope == "episode"].same_episode == 100).all()


def test_planning_needs_a_world_that_can_be_stepped_and_the_base_of_the_runs(rollouts):
    base, recipe = random_base(), PlanRecipe(2)
    real = SourceSpec("bridge", 0, 0, 32, "somewhere")
    planned = planning_study.plan(real, rollouts.ids, rollouts, base, base.hash, recipe, {})
    assert "stepped" in planned.told(recipe)[0] and planned.outcomes.empty and planned.preferred == {}
    assert "stepped" in rollout_figures.planning(planned).axes[0].texts[0].get_text()
    assert rollout_figures.planning_numbers(planned, rollouts).empty
    with pytest.raises(InputError, match="from which the runs started"):
        planning_study.plan(real, rollouts.ids, rollouts, base, "another", recipe, {})


def test_planning_on_the_tabletop(rollouts):
    spec, base = SourceSpec("tabletop", 12, 0, 32), random_base()
    recipe = PlanRecipe(2, ahead=6, every=6, samples=8, iterations=1, repeats=1)
    names = [info.id for info in spec.open().infos()]
    results = pd.DataFrame({"condition": ["A", "P", "lr-0", "P"], "seed": [0, 0, 0, 1]})
    assert planning_study.beside(results, 0) == ["lr-0", "P"] and planning_study.beside(results, 1) == ["P"]
    more = {name: (acting_model(), rollouts.worlds["A"].action_scale) for name in ("lr-0", "P")}
    planned = planning_study.plan(spec, names, rollouts, base, base.hash, recipe, more)
    models = ["base", "lr-0", "A", "B", "P"]
    assert isinstance(planned, Planned) and len(planned.tasks) == 2 and planned.planners == models
    assert list(planned.success) == list(planned.outcomes.index) == ["static", "random", *models, "recorded"]
    assert set(planned.preferred) == set(models) and all(0 <= v <= 1 for v in planned.preferred.values())
    pairs = planned.comparisons.groupby("against", sort=False).method.agg(list).to_dict()
    assert pairs == {"base": ["lr-0", "A", "B", "P"], "A": ["lr-0", "B", "P"], "random": models}
    assert planned.comparisons.n.eq(2).all()
    table = rollout_figures.planning_numbers(planned, rollouts)
    assert len(table) == len(planned.summary) + 12 and planned.record(recipe)["plan"]["samples"] == 8
    assert table[table.metric == "success against A"].condition.tolist() == ["lr-0", "B", "P"]
    nothing = planning_study.plan(spec, names, rollouts, base, base.hash, replace(recipe, n=0), {})
    assert nothing.told(recipe) == ["Not run: no task was asked for."]
