"""The downstream check: does planning with a world model bring the simulated gripper to a goal frame?

A task takes a recorded episode up at a frame and asks for the state of a later frame, within a budget of steps. What
acts sees only pictures, the gripper's own state and the goal's picture; the simulator's truth judges (`goals`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics.cem import CEM, goal_cost, plan_actions
from lewm_core.evaluate import encode_frames
from lewm_core.model import LeWM
from lewm_core.sources.tabletop.env import World, object_track
from lewm_core.sources.tabletop.source import Recording, Tabletop, actions_of
from lewm_core.utils.errors import InputError
from lewm_core.utils.progress import bar

NEAR = {"gripper": 0.04, "object": 0.03}  # m: a frame's motion of the gripper; half an object's width
FAR = 2.0  # times NEAR: what must move at least, from a task's start to its goal
STILL = 0.01  # m: an object that moves less is not part of the task
KINDS = {"reach": "the gripper must move, the object stays", "move": "the object must move"}


@dataclass(frozen=True)
class Task:
    """Go from the state of frame `start` of a recording to that of frame `goal`.

    kind: a key of KINDS. context: (H, h, w, 3) uint8, the frames up to `start`. picture: (h, w, 3) uint8, the goal.
    gripper, object: (3,) m, where they are at the goal.
    """

    recording: Recording
    start: int
    goal: int
    kind: str
    context: np.ndarray
    picture: np.ndarray
    gripper: np.ndarray
    object: np.ndarray


# What acts: frames (B, H, h, w, 3) uint8 and observations (B, H, 7) up to now, to the next k actions (B, k, 7), raw.
Policy = Callable[[np.ndarray, np.ndarray], np.ndarray]


def draw_tasks(source: Tabletop, ids: Iterable[str], n: int, ahead: int, history: int,
               rng: np.random.Generator) -> list[Task]:
    """At most `n` tasks, one an episode and as many of one kind as of the other as far as the episodes allow.

    ids: episodes to draw from, in random order. ahead: frames from start to goal. history: H context frames.
    A task is never done at its start: the gripper (reach) or the object (move) has FAR times NEAR to go.
    """
    tasks: list[Task] = []
    for id in rng.permutation(sorted(ids)):
        if len(tasks) == n:
            break
        recording = source.record(str(id))
        starts, fit = _starts(recording, ahead, history)
        rarer_first = sorted(KINDS, key=lambda kind: sum(task.kind == kind for task in tasks))
        kind = next((kind for kind in rarer_first if fit[kind].any()), None)
        if kind is not None:
            tasks.append(_task(source, recording, kind, int(rng.choice(starts[fit[kind]])), ahead, history))
    return tasks


def _starts(recording: Recording, ahead: int, history: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The frames (n,) at which a task may start, and by kind whether it may there, (n,) bool."""
    gripper, thing = recording.observations[:, :3], object_track(recording)
    starts = np.arange(history - 1, len(gripper) - ahead)
    gripper_way, object_way = (np.linalg.norm(at[starts + ahead] - at[starts], axis=1) for at in (gripper, thing))
    reach = (gripper_way > FAR * NEAR["gripper"]) & (object_way < STILL)
    return starts, {"reach": reach, "move": object_way > FAR * NEAR["object"]}


def _task(source: Tabletop, recording: Recording, kind: str, start: int, ahead: int, history: int) -> Task:
    """The task that starts there, with its frames rendered."""
    goal = start + ahead
    shown = [*range(start - history + 1, start + 1), goal]
    part = replace(recording, qpos=recording.qpos[shown], observations=recording.observations[shown])
    frames = source.render(part).frames
    return Task(recording, start, goal, kind, frames[:-1], frames[-1], recording.observations[goal, :3],
                object_track(recording)[goal])


def attempt(tasks: Sequence[Task], policy: Policy, budget: int,
            on_step: Callable[[], object] = lambda: None) -> pd.DataFrame:
    """Let `policy` act for `budget` steps in every task: a row per task and step from 0, before the first action.

    Columns task, kind, step, gripper and object: how far (m) each is from where it is at the goal.
    """
    history, size = tasks[0].context.shape[:2]
    worlds = [World(task.recording, task.start, size) for task in tasks]
    frames = np.stack([task.context for task in tasks])
    observations = np.stack([t.recording.observations[t.start - history + 1 : t.start + 1] for t in tasks])
    rows = _distances(tasks, worlds, 0)
    ahead: list[np.ndarray] = []  # the actions (B, 7) still to do
    for step in range(1, budget + 1):
        if not ahead:
            ahead = list(policy(frames[:, -history:], observations[:, -history:]).swapaxes(0, 1))
        seen = [world.step(action) for world, action in zip(worlds, ahead.pop(0), strict=True)]
        frames = np.concatenate([frames, np.stack([frame for frame, _ in seen])[:, None]], axis=1)
        observations = np.concatenate([observations, np.stack([now for _, now in seen])[:, None]], axis=1)
        rows += _distances(tasks, worlds, step)
        on_step()
    return pd.DataFrame(rows, columns=["task", "kind", "step", "gripper", "object"])


def _distances(tasks: Sequence[Task], worlds: Sequence[World], step: int) -> list[tuple]:
    """Rows of `attempt` after a step: how far (m) gripper and object are from where they are at the goal."""
    rows = []
    for i, (task, world) in enumerate(zip(tasks, worlds, strict=True)):
        gripper = np.linalg.norm(world.observation[:3] - task.gripper)
        rows.append((i, task.kind, step, gripper, np.linalg.norm(world.object - task.object)))
    return rows


def attempts(tasks: Sequence[Task], planners: Mapping[str, tuple[LeWM, ActionScale]], actions: np.ndarray,
             settings: CEM, every: int, repeats: int, seed: int) -> pd.DataFrame:
    """`attempt` by every method, with columns method and repeat: static, random, a planner per model, recorded.

    planners: name to model and its own action scale. actions: (n, 7) raw; random ones are drawn from them, `repeats`
    times, and plans keep within their span. settings, every: as `planner` has them; the budget is twice the horizon.
    """
    policies = [("static", still)]
    policies += [("random", at_random(actions, np.random.default_rng([seed, i]))) for i in range(repeats)]
    policies += [(name, planner(*known, tasks, actions, settings, every, seed)) for name, known in planners.items()]
    policies.append(("recorded", recorded(tasks)))
    budget, tries = 2 * settings.horizon, []
    with bar(desc="planning", unit="step", total=len(policies) * budget) as shown:
        for i, (name, policy) in enumerate(policies):
            tries.append(attempt(tasks, policy, budget, shown.update).assign(method=name, repeat=i))
    return pd.concat(tries, ignore_index=True)


def still(frames: np.ndarray, observations: np.ndarray) -> np.ndarray:
    """A Policy that does nothing ("static" in tables): no motion, the opening as it is."""
    return np.concatenate([np.zeros((len(observations), 1, 6)), observations[:, -1:, 6:]], axis=2)


def at_random(actions: np.ndarray, rng: np.random.Generator) -> Policy:
    """A Policy that draws each action from the rows of `actions` (n, 7)."""
    return lambda frames, observations: actions[rng.integers(len(actions), size=(len(frames), 1))]


def recorded(tasks: Sequence[Task]) -> Policy:
    """A Policy that repeats what the recorded gripper did and then holds still: how far the simulation itself goes."""
    actions = np.stack([actions_of(t.recording.observations[t.start : t.goal + 1])[:-1] for t in tasks])
    done = False

    def act(frames: np.ndarray, observations: np.ndarray) -> np.ndarray:
        nonlocal done
        if done:
            return still(frames, observations)
        done = True
        return actions

    return act


def planner(model: LeWM, scale: ActionScale, tasks: Sequence[Task], actions: np.ndarray, settings: CEM, every: int,
            seed: int) -> Policy:
    """A Policy that plans with `model` towards the tasks' pictures and plans again, from its last plan, after `every`
    steps.

    scale: the model's own. actions: (n, 7) raw; plans keep within their smallest and largest values.
    """
    if not 1 <= every <= settings.horizon:
        raise InputError("planner", f"a new plan every {every} steps", f"1 to the horizon, {settings.horizon}")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    left: Tensor | None = None  # what the last plan still has to do
    span = torch.from_numpy(scale(actions)).to(device)
    low, high = span.amin(0), span.amax(0)
    goal_emb = encode(model, np.stack([task.picture for task in tasks])[:, None])[:, 0]

    def act(frames: np.ndarray, observations: np.ndarray) -> np.ndarray:
        nonlocal left
        past = np.stack([actions_of(o)[:-1] for o in observations])
        plans, _ = plan_actions(model, encode(model, frames), torch.from_numpy(scale(past)).to(device), goal_emb, low,
                                high, settings, generator, left)
        left = plans[:, every:]
        return scale.undo(plans[:, :every].cpu().numpy())

    return act


@torch.no_grad()
def prefers_recorded(model: LeWM, scale: ActionScale, tasks: Sequence[Task], actions: np.ndarray, n: int,
                     rng: np.random.Generator) -> np.ndarray:
    """Per task, the share of `n` random action sequences that the model's cost puts behind the recorded actions.

    actions: (m, 7) raw, drawn from as in `at_random`. 1: the cost knows the way; 0.5: no better than chance.
    """
    history = len(tasks[0].context)
    done = np.stack([actions_of(t.recording.observations[t.start - history + 1 : t.goal + 1])[:-1] for t in tasks])
    candidates = np.repeat(done[:, None], n + 1, axis=1)  # the first is the recorded one
    future = candidates[:, 1:, history - 1 :]
    future[:] = actions[rng.integers(len(actions), size=future.shape[:3])]
    emb = encode(model, np.stack([task.context for task in tasks]))
    goal_emb = encode(model, np.stack([task.picture[None] for task in tasks]))
    cost = goal_cost(model, emb, goal_emb[:, 0], torch.from_numpy(scale(candidates)).to(emb.device))
    return (cost[:, 1:] > cost[:, :1]).float().mean(1).cpu().numpy()


def encode(model: LeWM, frames: np.ndarray) -> Tensor:
    """(B, T, h, w, 3) uint8 frames to (B, T, D) latents, on the model's device."""
    pixels = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).flatten(0, 1)
    return encode_frames(model, pixels.to(next(model.parameters()).device)).unflatten(0, frames.shape[:2])
