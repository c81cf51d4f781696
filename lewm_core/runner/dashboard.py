"""The dashboard of a finished study as a page, without a notebook."""

from functools import partial
from pathlib import Path

from lewm_core.diagnostics import playback
from lewm_core.diagnostics.decoder import DecoderRecipe
from lewm_core.diagnostics.playback import Playback
from lewm_core.diagnostics.probes import held_out
from lewm_core.runner.arguments import check_writable
from lewm_core.runner.publish import parameters_of
from lewm_core.stats.paper import BASELINE
from lewm_core.study import Study
from lewm_core.utils import provenance
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import SCALES, Workspace, relative
from lewm_core.viz.dashboard import EPISODES, Dashboard


def write(folder: Path, output: Path | None = None, episodes: int = EPISODES, scale: str = SCALES[-1],
          seed: int = 0) -> dict[str, object]:
    """Write the dashboard of the study in `folder` (runs/NAME) and return what was done.

    output: the page; by default where notebook 07 writes it. episodes: on it at most. scale, seed: whose runs play.
    InputError where the folder holds no study, or none of its runs has this seed.
    """
    if output:
        check_writable(output, "--output", file=True)
    place = Workspace.of_run("", output=folder)
    study = Study(place.output, place.figures, *_profile_and_data(place))
    results = study.results(scale)
    offered = playback.offered(results, seed)
    if not offered:
        seeds = sorted(results.seed.unique().tolist())
        raise InputError("seed", str(seed), f"one that was run at scale {scale}: {', '.join(map(str, seeds))}")
    data, load = study.data(scale, seed), partial(study.model, results, seed=seed)
    held = held_out(data, seed, study.recipe(results), study.sets.of_run(scale, seed).test)
    history = load(offered[0])[0].config.history
    played = Playback(data, history, held, seed, offered, load, DecoderRecipe(), {}, {})
    about = study.about(scale, results[results.seed == seed])
    chosen = [name for name in (BASELINE, "B") if name in offered] or offered[:1]
    board, path = Dashboard(played, provenance.caption(about), chosen), output or place.dashboard
    board.saved(path, episodes)
    return {"written": relative(path), "megabytes": round(path.stat().st_size / 1e6, 1), "conditions": offered}


def _profile_and_data(place: Workspace) -> tuple[str, str]:
    """What a run says of itself."""
    place.need(place.summary)
    for values in parameters_of(place):
        if isinstance(values.get("profile"), str) and isinstance(values.get("data"), str):
            return values["profile"], values["data"]
    raise InputError(relative(place.summary), "no record of a run", "what ./run_all.sh writes")
