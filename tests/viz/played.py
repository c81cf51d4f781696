"""Squares that two models play, for the tests of the dashboard; one of them has a task text that tries to break out."""

from pathlib import Path

import numpy as np

from lewm_core import dataset
from lewm_core.dataset.frames import ActionScale
from lewm_core.diagnostics.decoder import DecoderRecipe
from lewm_core.diagnostics.playback import Playback
from tests.helpers import LENGTHS, acting_model, moving_square

HOSTILE = "</script><img src=x onerror='top.canary = 1'><script>top.canary = 1</script><!--"
HELD = (1, 4)  # episodes that were held out
OFFERED = ("A", "B", "P")


def squares(folder: Path, *without: str):
    """The data of `helpers.write_squares`, episode 1 with a hostile task; `without` names signals that are missing."""
    items = []
    for i, length in enumerate(LENGTHS):
        episode, signals = moving_square(i, length)
        if i == 1:
            object.__setattr__(episode, "task", HOSTILE)
        for name in without:
            object.__setattr__(signals, name, None)
            signals.missing[name] = f"No {name}, <b>for</b> a reason."
        items.append((episode, signals))
    dataset.write(folder / "squares.h5", items, source="squares")
    return dataset.load(folder / "squares.h5")


def playback(data) -> Playback:
    """Played by a model that acts; B's weights are another's, and it has none of its own decoders or latents yet."""
    scale, calls = ActionScale.fit(data["action"]), []

    def load(name: str):
        calls.append(name)
        model = acting_model()
        if name == "B":
            for block in model.predictor.transformer.layers:
                block.adaLN_modulation[-1].weight.data *= 0.5
        return model, scale

    load.calls = calls
    return Playback(data, 3, np.array(HELD), 0, OFFERED, load, DecoderRecipe(steps=3), {}, {})
