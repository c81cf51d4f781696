"""Which settings cannot work, whatever the data: they are refused before the first notebook runs.

What a choice merely leaves out (a condition, the held-out episodes) is no error: the notebooks show it as not run.
A rule reads only what the notebooks declare, so that it holds for any set of notebooks. Libraries are imported where
a setting needs them, since most calls give none of these.
"""

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

from lewm_core.config import BATCH_NORM, MODELS
from lewm_core.runner.notebook import Notebook
from lewm_core.signals.geometry import POINTS
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.provenance import SIMULATED
from lewm_core.utils.workspace import SCALES, Workspace

LEAST = {  # parameter -> the smallest number that works
    "n_candidates": 0, "n_shown": 0, "camera": 0, "jobs": 0, "min_length": 1, "image_size": 1, "seed": 0,
    "full_seed": 0, "n_quality": 1, "quality_size": 1, "widget_episodes": 1,
    "epochs": 1, "steps": 1, "n_test": 0, "directions": 1, "lr": 0.0, "val_episodes": 0.0, "max_bad_share": 0.0,
    "pilot_seeds": 1, "full_seeds": 1, "probe_seeds": 1,
    "rollout_seed": 0, "rollout_steps": 1, "rollout_stride": 1, "decoder_steps": 1,
    "plan_tasks": 0, "plan_ahead": 1, "plan_every": 1, "plan_samples": 1, "plan_iterations": 1, "random_repeats": 1,
}
Settings = dict[str, Any]  # parameter -> value, over all notebooks


def merged(notebooks: list[Notebook], values: dict[str, Settings]) -> Settings:
    """Every parameter of the study with the value that it has in this run."""
    settings: Settings = {}
    for n in notebooks:
        settings |= n.declared | values[n.name]
    return settings


def check(settings: Settings, place: Workspace, given: Collection[str]) -> None:
    """Raise one InputError that lists every setting that cannot work.

    given: the parameters that this run gives a value; the others have the notebooks' defaults.
    """
    problems = [problem for rule in RULES for problem in rule(settings)]
    for names_, rule in RULES_IF_GIVEN:
        if names_ & set(given):
            problems += rule(settings)
    if settings.get("pilot_by") == "hand":
        from lewm_core.curation.selection import hand_picked

        problems += caught(hand_picked, place.selection)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise InputError("the settings", f"{len(problems)} that cannot work", f"others:{listed}")


def caught(function: Callable, *arguments: object, **named: object) -> list[InputError]:
    """The InputError that a call raises, if it does."""
    try:
        function(*arguments, **named)
    except InputError as error:
        return [error]
    return []


def numbers(settings: Settings) -> Iterator[InputError]:
    for name, least in LEAST.items():
        value = settings.get(name)
        if value is not None and not (isinstance(value, int | float) and least <= value < 2**63):
            yield InputError(f"parameter {name}", repr(value), f"at least {least}")


def shares(settings: Settings) -> Iterator[InputError]:
    """Something must be left to train on, and something to hold out."""
    share, pilot = settings.get("val_episodes"), settings.get("n_pilot")
    if share is None or share < 0:
        return
    if share >= 1:
        yield InputError("parameter val_episodes", repr(share), "a share below 1")
    elif share > 0 and settings.get("pilot_by") != "hand" and not settings.get("n_test") and pilot and 1 <= pilot:
        if max(1, round(share * pilot)) >= pilot:
            yield InputError("parameter n_pilot", f"{pilot} with val_episodes {share}",
                             "so many that one is held out and one is left to train on",
                             "Take more, or --set val_episodes=0 (the paper's split of windows alone).")
    elif share == 0 and settings.get("show_episode"):
        yield InputError("parameter show_episode", "an episode to show, with val_episodes 0",
                         "held-out episodes, of which it is one", "Leave it empty, or hold some out.")


def conditions(settings: Settings) -> Iterator[InputError]:
    """Every comparison is with the baseline, so A must be among them."""
    for name in ("conditions", "full_conditions"):
        chosen = settings.get(name)
        if chosen is None:
            continue
        if "A" not in chosen:
            yield InputError(f"parameter {name}", f"[{', '.join(chosen)}]", "A, the baseline, among them",
                             "All others are compared with it.")
        if twice := sorted({c for c in chosen if chosen.count(c) > 1}):
            yield InputError(f"parameter {name}", f"{', '.join(twice)} more than once", "each condition once")


def unknown_conditions(settings: Settings) -> list[InputError]:
    from lewm_core.conditions import condition

    chosen = [*settings.get("conditions", ()), *settings.get("full_conditions", ())]
    return [error for name in dict.fromkeys(chosen) for error in caught(condition, name)]


def selection(settings: Settings) -> list[InputError]:
    names = ("n_top", "n_full", "n_pilot", "pilot_by", "full_by", "full_seed")
    given = {name: settings[name] for name in names if name in settings}
    if not given:
        return []
    from lewm_core.curation.selection import Choice

    return caught(Choice, **given)


def draws(settings: Settings) -> Iterator[InputError]:
    """A seed draws its test episodes and its full set from those that are kept."""
    test, full, kept = (settings.get(name) for name in ("n_test", "n_full", "n_top"))
    if test and full and kept and test + full > kept:
        yield InputError("parameter n_test", f"{test} with n_full {full} and n_top {kept}", "n_test + n_full of at "
                         "most n_top, since each seed draws them from the episodes that are kept", f"Take more: --set "
                         f"n_top={test + full} or more, and at least as many n_candidates.")


def criteria(settings: Settings) -> list[InputError]:
    if "criteria" not in settings:
        return []
    from lewm_core.curation.score import Criteria

    own = {name: settings[name] for name in ("min_length", "max_length") if name in settings}
    return caught(Criteria.of, settings["criteria"], **own)


def names(settings: Settings) -> Iterator[InputError]:
    for name, rows in (("model", MODELS), ("batch_norm", BATCH_NORM)):
        if name in settings:
            yield from caught(known, rows, settings[name], f"parameter {name}")
    for name in ("probe_scale", "rollout_scale"):
        if name in settings:
            yield from caught(known, SCALES, settings[name], f"parameter {name}")
    scale, seed = settings.get("rollout_scale"), settings.get("rollout_seed")
    runs = settings.get(f"{scale}_seeds")
    if runs is not None and seed is not None and seed >= runs >= 1:
        yield InputError("parameter rollout_seed", f"{seed} with {scale}_seeds {runs}", f"0 to {runs - 1}")


def points(settings: Settings) -> Iterator[InputError]:
    counts = settings.get("point_counts")
    if counts is not None and not (counts and all(1 <= count <= POINTS for count in counts)):
        yield InputError("parameter point_counts", repr(counts), f"numbers from 1 to {POINTS}")


def source(settings: Settings) -> list[InputError]:
    """Unknown backends, looks that no world has, and a simulator that is to make no episodes."""
    from lewm_core.signals.backends import Backends
    from lewm_core.signals.pipeline import check_looks

    backends = [settings.get(f"{signal}_backend") or None for signal in ("depth", "tracks", "mask")]
    problems = caught(Backends, *backends) + caught(check_looks, settings.get("data"), settings.get("looks"))
    if settings.get("data") in SIMULATED and settings.get("n_candidates") == 0:
        problems.append(InputError("parameter n_candidates", f"0 with data {settings['data']}",
                                   "at least 1, since a simulator has no last episode"))
    return problems


def controls(settings: Settings) -> list[InputError]:
    """The controls need sizes for the profile, and that many candidates."""
    if not settings.get("controls"):
        return []
    from lewm_core.experiments.pool import PRESETS

    profile, candidates = settings.get("profile"), settings.get("n_candidates", 0)
    if profile not in PRESETS:
        return [InputError("--study controls", f"profile {profile}, for which it has no sizes",
                           f"profile {' or '.join(PRESETS)}")]
    needed = PRESETS[profile].episodes[-1] + PRESETS[profile].test
    if 0 < candidates < needed:
        return [InputError("--study controls", f"n_candidates {candidates}", f"at least {needed}: "
                           f"{PRESETS[profile].episodes[-1]} to train on and {PRESETS[profile].test} to test on")]
    return []


RULES: tuple[Callable[[Settings], Any], ...] = (
    numbers, shares, conditions, selection, draws, criteria, names, points, controls)
# Parameter names, and a rule on them whose imports take a second or more: it is asked only if one of them is given.
RULES_IF_GIVEN: tuple[tuple[frozenset[str], Callable[[Settings], Any]], ...] = (
    (frozenset({"conditions", "full_conditions"}), unknown_conditions),
    (frozenset({"n_candidates", "depth_backend", "tracks_backend", "mask_backend", "looks"}), source),
)


def check_frames(settings: Settings, base: Any) -> None:
    """InputError if the model's patches do not tile the frames that notebook 01 will make.

    base: the user's own checkpoint, or None for ours, which are of the size `model`.
    """
    size, model = settings.get("image_size"), settings.get("model")
    if size is None or (base is None and model is None):
        return
    config = base.config if base else MODELS[model]
    if base is None and size == config.image_size:
        return
    from lewm_core.diagnostics.decoder import DecoderRecipe

    step = math.lcm(config.patch_size, DecoderRecipe.grid)  # notebook 07's decoder must tile them, too
    if size % step == 0:
        return
    named = f"--base {base.name}" if base else f"model {model}"
    near = max(step, size // step * step)
    remedy = f"Add --set image_size={config.image_size} (what it was trained on)"
    if near < config.image_size:
        remedy += f" or --set image_size={near} (its positions are interpolated)"
    tiles = f"patches of {config.patch_size} px and a decoder of {DecoderRecipe.grid} a side"
    raise InputError(named, f"{tiles}, which do not tile frames of {size} px", f"an image_size that {step} divides",
                     remedy + ".")
