"""Whether a base is a world model of its own world, judged on play that it never saw: a table of bars to clear.

Three questions: does its latent know where gripper and cube are, does it foresee a frame and ten of them, and does
planning with it bring gripper and cube to a goal? Dimensions: n episodes, T frames each, H context frames, D latent
size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch

from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics import planning
from lewm_core.diagnostics.cem import CEM
from lewm_core.diagnostics.goals import reached
from lewm_core.model import LeWM
from lewm_core.outcomes.ridge import Target, linear_probe, pose, prepare, r2
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.utils.errors import InputError

STATE = ("gripper x", "gripper y", "gripper z", "cube x", "cube y", "cube z", "cube yaw")
LEAST = {"gripper x": 0.95, "gripper y": 0.92, "gripper z": 0.75,  # R² of a probe
         "cube x": 0.95, "cube y": 0.92, "cube yaw": 0.75,
         "gripper at the goal": 0.90, "gripper and cube at the goal": 0.60}  # share of the goals
MOST_ONE_STEP = 0.2  # error over persistence
SIDE = 24  # px, of the pictures that a probe reads directly
COLUMNS = ["what", "value", "bar", "met", "pixels", "untrained", "constant", "still", "recorded"]
Rows = Iterator[dict[str, object]]


@dataclass(frozen=True)
class Exam:
    """How much a base is judged on; the bars hold for the defaults.

    fit: episodes on which probes are fitted, the first that the base learnt from. test: unseen ones, for probes and
    rollouts. steps: of a rollout. tasks: to plan, one an unseen episode; 0: none. search, every: how, see
    `planning.planner`; the budget is twice the horizon.
    """

    fit: int = 300
    test: int = 100
    steps: int = 10
    tasks: int = 100
    search: CEM = CEM(samples=128, elites=16, iterations=15, horizon=6)
    every: int = 6


@dataclass(frozen=True)
class Play:
    """Episodes of one length: frames (n, T, h, w, 3) uint8, raw actions (n, T, A), state (n, T, S) as STATE names it.

    State in m and rad.
    """

    frames: np.ndarray
    actions: np.ndarray
    state: np.ndarray

    @classmethod
    def of(cls, source: Tabletop, n: int) -> "Play":
        """The first `n` episodes of a source of play."""
        episodes = [source.load(info.id) for info in source.infos()[:n]]
        state = [np.column_stack([e.observations[:, :3], e.truth.object, e.truth.object_yaw])
                 for e in episodes]
        return cls(np.stack([e.frames for e in episodes]), np.stack([e.actions for e in episodes]), np.stack(state))


def judge(model: LeWM, scale: ActionScale, source: Tabletop, seed: int, exam: Exam = Exam()) -> pd.DataFrame:
    """The bars of a base, a row each, in the order of the three questions.

    Columns: what; value; bar ("" where there is none) and met; beside it R² of the probe from pictures of 24 px
    (`pixels`), from an untrained encoder of the same sizes (`untrained`) and of the training mean (`constant`), and the
    share of goals reached by doing nothing (`still`) and by the recorded actions (`recorded`).

    Args:
        model, scale: the base and the scale of its actions.
        source: the play that it learnt from.
        seed: of unseen play, another than the source's; of the untrained encoder and of the search, too.
    """
    if source.name != "play" or seed == source.seed:
        raise InputError("judge", f"{source.name} of seed {source.seed} to fit on and seed {seed} to test on",
                         "play, and a seed of its own for what is unseen")
    model.eval()
    learnt = Play.of(source, exam.fit)
    unseen = Tabletop(max(exam.test, 2 * exam.tasks), seed, source.image_size, "play")
    new = Play.of(unseen, exam.test)
    rows = [*_probe_rows(model, learnt, new, seed), *_error_rows(rollout_errors(model, scale, new, exam.steps))]
    if exam.tasks:
        rows += _goal_rows(goals(model, scale, unseen, learnt.actions, seed, exam))
    return pd.DataFrame(rows, columns=COLUMNS)


def probe_r2(features: np.ndarray, state: np.ndarray, fit: int) -> np.ndarray:
    """R² (S,) of a ridge regression to each component of the state, of the training mean's squared error.

    features (n, T, F) and state (n, T, S); fitted on the first `fit` episodes and scored on the others.
    """
    n, frames = features.shape[:2]
    groups = np.repeat(np.arange(n), frames)
    x = prepare(features.reshape(n * frames, -1), np.flatnonzero(groups < fit))
    found = []
    for values in state.reshape(n * frames, -1).T.astype(np.float32):
        problem = pose(x, Target(values[:, None], np.ones((len(values), 1), bool)), groups, range(fit, n))
        found.append(r2(problem, linear_probe(problem)))
    return np.array(found)


def small_pictures(frames: np.ndarray) -> np.ndarray:
    """Frames (n, T, h, w, 3) uint8 as (n, T, 3 SIDE²) float32."""
    pictures = frames.reshape(-1, *frames.shape[2:])
    small = [cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.stack(small).reshape(*frames.shape[:2], -1).astype(np.float32)


def rollout_errors(model: LeWM, scale: ActionScale, play: Play, steps: int) -> np.ndarray:
    """(steps,) the squared error of the latent that many steps after H true ones, over that of persistence.

    Open loop under the recorded actions, from every frame from which all steps fit. Persistence keeps the last latent.
    """
    history = model.config.history
    device = next(model.parameters()).device
    emb, actions = planning.encode(model, play.frames), torch.from_numpy(scale(play.actions)).to(device)
    wrong, persistence = torch.zeros(2, steps, dtype=torch.float64)
    for start in range(play.frames.shape[1] - history - steps + 1):
        now, end = start + history, start + history + steps
        with torch.no_grad():
            ahead = model.rollout(emb[:, start:now], actions[:, start : end - 1])[:, history:]
        true = emb[:, now:end]
        wrong += (ahead - true).double().square().mean((0, 2)).cpu()
        persistence += (emb[:, now - 1 : now] - true).double().square().mean((0, 2)).cpu()
    return (wrong / persistence).numpy()


def goals(model: LeWM, scale: ActionScale, unseen: Tabletop, actions: np.ndarray, seed: int,
          exam: Exam) -> pd.DataFrame:
    """The share of goals reached at some step, by method: columns gripper, and both (gripper and cube at once).

    Methods: base, static (doing nothing), recorded. actions: (n, T, A) raw, of training; plans keep within their span.
    """
    tasks = planning.draw_tasks(unseen, [info.id for info in unseen.infos()], exam.tasks, exam.search.horizon,
                                model.config.history, np.random.default_rng(seed))
    if not tasks:
        raise InputError("goals", "no unseen episode with a task", "play long enough to plan in")
    known = actions[:, :-1].reshape(-1, actions.shape[-1])  # the last of an episode leads nowhere
    policies = {"base": planning.planner(model, scale, tasks, known, exam.search, exam.every, seed),
                "static": planning.still, "recorded": planning.recorded(tasks)}
    tries = pd.concat([planning.attempt(tasks, policy, 2 * exam.search.horizon).assign(method=name, repeat=0)
                       for name, policy in policies.items()])
    gripper = reached(tries.assign(object=0.0)).groupby("method").mean()
    return pd.DataFrame({"gripper": gripper, "both": reached(tries).groupby("method").mean()})


def _probe_rows(model: LeWM, learnt: Play, new: Play, seed: int) -> Rows:
    frames, state = (np.concatenate([getattr(learnt, name), getattr(new, name)]) for name in ("frames", "state"))
    untrained = LeWM(model.config, seed).to(next(model.parameters()).device)
    features = {"value": planning.encode(model, frames).cpu().numpy(), "pixels": small_pictures(frames),
                "untrained": planning.encode(untrained, frames).cpu().numpy()}
    found = {name: probe_r2(values, state, len(learnt.frames)) for name, values in features.items()}
    for i, name in enumerate(STATE):
        yield {**_at_least(name, found["value"][i]), "what": f"probe of emb, {name}, R²",
               "pixels": found["pixels"][i], "untrained": found["untrained"][i], "constant": 0.0}


def _error_rows(errors: np.ndarray) -> Rows:
    for step, value in enumerate(errors.tolist(), start=1):
        met, bar = (value <= MOST_ONE_STEP, f"≤ {MOST_ONE_STEP}") if step == 1 else (value < 1, "< 1")
        yield {"what": f"error {step} step{'s' * (step > 1)} ahead over persistence", "value": value, "bar": bar,
               "met": met}


def _goal_rows(share: pd.DataFrame) -> Rows:
    for column, name in (("gripper", "gripper at the goal"), ("both", "gripper and cube at the goal")):
        yield {**_at_least(name, share.loc["base", column]), "what": f"planning, {name}",
               "still": share.loc["static", column], "recorded": share.loc["recorded", column]}


def _at_least(name: str, value: float) -> dict[str, object]:
    """Value, bar and met of what should be at least LEAST[name]; no bar where it has none."""
    least = LEAST.get(name)
    return {"value": float(value), "bar": "" if least is None else f"≥ {least}",
            "met": None if least is None else bool(value >= least)}
