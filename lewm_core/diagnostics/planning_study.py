"""Planning with the models of a study on its own tabletop: the tasks, every method's attempts, what came of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import goals, planning
from lewm_core.diagnostics.cem import CEM
from lewm_core.diagnostics.planning import Task
from lewm_core.diagnostics.rollout_study import Rollouts
from lewm_core.experiments.base import Base
from lewm_core.model import LeWM
from lewm_core.signals.pipeline import SourceSpec
from lewm_core.stats import paper, proportions
from lewm_core.stats.outcomes import BASE, LR_0, POSITIVE
from lewm_core.utils.errors import InputError

STEPPED = "tabletop"  # the source whose world can be stepped
BESIDE = (LR_0, POSITIVE)  # what plans beside the base and the models that are rolled out
Planners = Mapping[str, tuple[LeWM, ActionScale]]


@dataclass(frozen=True)
class PlanRecipe:
    """n: tasks. ahead: frames from a task's start to its goal, and steps planned ahead. every: steps between two plans.
    samples, iterations: of the cross-entropy method. repeats: times that the random actions are drawn."""

    n: int
    ahead: int = 6
    every: int = 6
    samples: int = 64
    iterations: int = 10
    repeats: int = 3

    @property
    def cem(self) -> CEM:
        return CEM(self.samples, max(2, self.samples // 8), self.iterations, self.ahead)


@dataclass(frozen=True)
class Planned:
    """reason: why nothing was planned; empty where it was. planners: the names of those that plan with a model.
    summary: as from `goals.summarise`. success: a row per task, a column per method, 0 to 1. comparisons: of the models
    on the same tasks, as from `proportions.compared`. outcomes: a row per method: success by kind of task, the median
    distance to go at the end over that at the start, and how often the cost prefers the recorded actions."""

    reason: str = ""
    tasks: Sequence[Task] = ()
    planners: Sequence[str] = ()
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    success: pd.DataFrame = field(default_factory=pd.DataFrame)
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)
    outcomes: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def preferred(self) -> dict[str, float]:
        """How often each model's cost prefers the recorded actions."""
        if self.outcomes.empty:
            return {}
        return self.outcomes["prefers recorded"].dropna().to_dict()

    def record(self, recipe: PlanRecipe) -> dict[str, object]:
        """What a figure's record should say of it."""
        tasks = [(task.recording.id, task.start, task.kind) for task in self.tasks]
        return {"tasks": tasks, "near": planning.NEAR, "plan": recipe.__dict__}

    def told(self, recipe: PlanRecipe) -> list[str]:
        """How many tasks of which kind there are."""
        if self.reason:
            return [f"Not run: {self.reason}."]
        kinds = pd.Series([task.kind for task in self.tasks], dtype=str).value_counts()
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        return [f"{len(self.tasks)} tasks, of them {listed}; goals {recipe.ahead / 5:.1f} s ahead, {2 * recipe.ahead} "
                "steps to get there."]


def beside(results: pd.DataFrame, seed: int) -> list[str]:
    """Those of BESIDE that were run with this seed."""
    run = set(results[results.seed == seed].condition)
    return [name for name in BESIDE if name in run]


def plan(spec: SourceSpec, selected: Collection[str], rollouts: Rollouts, base: Base, base_hash: str,
         recipe: PlanRecipe, more: Planners) -> Planned:
    """Plan with the base, with `more` models and with each model of `rollouts`, beside methods without a model.

    selected: names of the selected episodes; tasks are drawn from those that training never saw. base, base_hash: from
    where the runs started; InputError if the two differ. Only a world that can be stepped can be planned in.
    """
    if base.hash != base_hash:
        raise InputError("base", f"{base.name}, {base.hash}", f"the one from which the runs started, {base_hash}",
                         "Give the base and the model from which the runs started.")
    if spec.data != STEPPED:
        return Planned(f"this needs a world that can be stepped, the simulated {STEPPED}; these data are {spec.data}")
    trained = {id for i, id in enumerate(rollouts.ids) if i not in rollouts.held}
    seed = rollouts.seed
    tasks = planning.draw_tasks(spec.open(), set(selected) - trained, recipe.n, recipe.ahead, rollouts.history,
                                np.random.default_rng(seed))
    if not tasks:
        return Planned("no task was asked for" if recipe.n == 0 else "no unseen episode has a task")
    planners, actions = _planners(base, rollouts, more), _training_actions(rollouts)
    tries = planning.attempts(tasks, planners, actions, recipe.cem, recipe.every, recipe.repeats, seed)
    summary = goals.summarise(tries)
    success = goals.reached(tries).unstack("method", sort=False)
    comparisons = proportions.compared(goals.reached_first(tries), _pairs(planners))
    outcomes = _outcomes(summary, success.columns, 2 * recipe.ahead)
    for name, known in planners.items():  # is it the cost or the search?
        preferred = planning.prefers_recorded(*known, tasks, actions, recipe.samples, np.random.default_rng(0))
        outcomes.loc[name, "prefers recorded"] = preferred.mean()
    return Planned("", tasks, list(planners), summary, success, comparisons, outcomes)


def _planners(base: Base, rollouts: Rollouts, more: Planners) -> Planners:
    """The base and the models, each with its own action scale; a base that has none takes that of the first model.

    The references come first, what `more` has besides last."""
    worlds = rollouts.worlds
    first = next(iter(worlds.values()))
    model, scale = base.load(rollouts.seed)
    references = {BASE: (model, scale or first.action_scale), **{n: known for n, known in more.items() if n == LR_0}}
    models = references | {name: (world.model, world.action_scale) for name, world in worlds.items()} | dict(more)
    device = next(first.model.parameters()).device
    return {name: (model.to(device), scale) for name, (model, scale) in models.items()}


def _pairs(models: Collection[str]) -> list[tuple[str, str]]:
    """Every model against the base, against A, and against random actions; each pair once."""
    pairs: list[tuple[str, str]] = []
    for against in (BASE, paper.BASELINE, "random"):
        pairs += [(name, against) for name in models if name != against and (against, name) not in pairs]
    return pairs


def _training_actions(rollouts: Rollouts) -> np.ndarray:
    """(n, 7) the actions of the training episodes, raw, but for each episode's last one, which leads nowhere."""
    data, leads_on = rollouts.data, ~rollouts.unseen
    leads_on[data["ep_offset"] + data["ep_len"] - 1] = False
    return data["action"][leads_on]


def _outcomes(summary: pd.DataFrame, methods: Sequence[str], last: int) -> pd.DataFrame:
    """The success of each method by kind of task, and what is left to go after the last step."""
    share = summary[(summary.metric == "success") & (summary.factor == 1)]
    end = summary[summary.step == last].pivot(index="method", columns="metric", values="value")
    return share.pivot(index="method", columns="kind", values="value").reindex(methods).join(end)
