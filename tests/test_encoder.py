"""The ViT's faster ways give what the plain ones give, and teach what they teach."""

from dataclasses import replace

import pytest
import torch

from lewm_core.config import MODELS
from lewm_core.encoder import normalise
from lewm_core.model import LeWM

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name, layers", [("nano", 2), ("nano", 1), ("small", 4)])
def test_the_cls_token_alone_is_the_same_and_has_the_same_gradient(pixels, name, layers):
    model = LeWM(replace(MODELS[name], encoder_depth=layers)).double()
    x, found = normalise(pixels).double(), []
    for alone in (False, True):
        model.zero_grad()
        cls, patches = model.encode_tokens(x, patches=not alone)
        cls.square().sum().backward()
        found.append((cls.detach(), {n: p.grad for n, p in model.encoder.named_parameters() if p.grad is not None}))
    assert patches is None
    (cls, grads), (alone, grads_alone) = found
    torch.testing.assert_close(alone, cls)
    assert grads.keys() == grads_alone.keys()
    torch.testing.assert_close(grads_alone, grads)


def test_raw_pixels_are_normalised_on_the_way(pixels):
    model = LeWM(MODELS["nano"])
    assert torch.equal(model.encode_tokens(pixels)[1], model.encode_tokens(normalise(pixels))[1])
