"""torchvision beside a CPU-only torch.

The package index's torchvision is a CUDA build. Beside a CPU-only torch its compiled library does not load, so the
operators `nms` and `qnms` are never declared, and the import fails on their meta registrations. timm imports
torchvision but needs neither. Declaring the two (without implementing them) lets the import go through.
"""

import sys

_declarations = []  # torch forgets the operators of a Library that is garbage-collected


def ensure() -> None:
    """Make `import torchvision` work. Does nothing where it does already."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        import torch

        for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declarations.append(library)
        import torchvision  # noqa: F401
