"""Do losses pull the encoder the same way? Planted gradients, and those of training."""

import numpy as np
import pytest
import torch

from lewm_core import dataset
from lewm_core.conditions import condition
from lewm_core.config import MODELS, Recipe
from lewm_core.dataset import windows
from lewm_core.dataset.frames import ActionScale, Frames
from lewm_core.experiments.gradients import conflict, shared_parameters
from lewm_core.heads import build_heads
from lewm_core.model import LeWM
from lewm_core.objective import loss_terms
from tests.helpers import write_squares

NANO = MODELS["nano"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dataset.load(write_squares(tmp_path_factory.mktemp("data") / "squares.h5"))


def test_planted_conflict_agreement_and_indifference():
    theta = torch.nn.Parameter(torch.randn(4096, generator=torch.Generator().manual_seed(0)))
    wanted, other = torch.randn(2, 4096, generator=torch.Generator().manual_seed(1))
    loss = lambda target: (theta - target).square().sum()  # noqa: E731
    away = 2 * theta.detach() - wanted  # from here, exactly the other way
    rows = conflict({"pred": loss(wanted), "against": loss(away), "along": 3 * loss(wanted),
                     "aside": theta @ other, "nowhere": torch.tensor(1.0), "flat": 0 * theta.sum()},
                    {"pred": 1.0, "against": 0.5, "along": 0.1, "aside": 1.0, "nowhere": 1.0, "flat": 1.0}, [theta])
    rows = {row["term"]: row for row in rows}
    assert set(rows) == {"against", "along", "aside", "nowhere", "flat"}
    assert rows["against"]["cosine"] == pytest.approx(-1, abs=1e-5)
    assert rows["along"]["cosine"] == pytest.approx(1, abs=1e-5)
    assert abs(rows["aside"]["cosine"]) < 0.06  # 1 / 64 a standard deviation
    assert rows["against"]["ratio"] == pytest.approx(0.5) and rows["along"]["ratio"] == pytest.approx(0.3)
    assert rows["nowhere"]["cosine"] is rows["flat"]["cosine"] is None and rows["flat"]["ratio"] == 0
    assert theta.grad is None


def test_what_is_probed_is_what_the_total_loss_is_made_of(data):
    """The weighted gradients of the parts add up to the one that training follows."""
    model, row, recipe = LeWM(NANO, 1), condition("E"), Recipe()
    frames = Frames.of(data, row.terms, np.arange(20), ActionScale.fit(data["action"]), "cpu")
    heads = build_heads(("depth", "tracks"), NANO.dim, 0)
    index = torch.from_numpy(windows(np.array([0, 1, 9])))
    directions = torch.randn(NANO.dim, 16, generator=torch.Generator().manual_seed(0))
    terms = loss_terms(model, heads, row, frames, index, directions, recipe)
    shared = shared_parameters(model)
    parts = {k: v for k, v in terms.items() if k != "total"}
    rows = conflict(parts, {"pred": 1, "sigreg": 0.09, "head_depth": 0.1, "head_tracks": 0.1}, shared)
    flat = {n: torch.cat([g.flatten() for g in torch.autograd.grad(v, shared, retain_graph=True)])
            for n, v in terms.items()}
    for r in rows:
        factor = 0.09 if r["term"] == "sigreg" else 0.1
        g, to = factor * flat[r["term"]], flat["pred"]
        assert r["cosine"] == pytest.approx(torch.nn.functional.cosine_similarity(g, to, dim=0).item(), abs=1e-5)
        assert r["ratio"] == pytest.approx((g.norm() / to.norm()).item(), rel=1e-4)
    assert sum(p.numel() for p in shared) == sum(
        p.numel() for n, p in model.named_parameters() if n.startswith(("encoder.", "projector.")))
    total = flat["pred"] + 0.09 * flat["sigreg"] + 0.1 * (flat["head_depth"] + flat["head_tracks"])
    torch.testing.assert_close(total, flat["total"], rtol=1e-3, atol=1e-5)
