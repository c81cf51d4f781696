"""torchvision beside a CPU-only torch."""

import sys
import types

from lewm_core.utils import torchvision_compat


def test_torchvision_imports_everywhere():
    torchvision_compat.ensure()
    import torchvision.transforms.v2

    assert torchvision.transforms.v2.Resize is not None


def test_torchvision_is_left_alone_where_it_imports(monkeypatch):
    stand_in = types.ModuleType("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    before = list(torchvision_compat._declarations)
    torchvision_compat.ensure()
    assert sys.modules["torchvision"] is stand_in and torchvision_compat._declarations == before
