"""Backends that somebody else trained: where their weights and code lie, whether they can run here, and on what.

All of it lies in one folder, under the names that each backend's `Needs` gives; `python -m lewm_core download` fills
such a folder. Code is upstream's own, from its repository there or installed as a package; none of it is part of this
project.
"""

import importlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from lewm_core.utils import torchvision_compat
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest, ends_of, regular
from lewm_core.utils.workspace import ROOT

_DECIDING = (".py", ".json", ".txt", ".pth", ".safetensors")  # files that decide what a backend answers
_ENDS = 1 << 20  # bytes at either end of a file that are read for its fingerprint
DOWNLOAD = "python -m lewm_core download"


@dataclass(frozen=True)
class Needs:
    """What a backend needs. `weights` (a file or a folder) and `code` are names in the weights folder.

    code: folder with a copy of upstream's repository. package: what to import from it; if that is installed, the
    folder is not needed. others: packages that must be installed beside it.
    """

    weights: str
    code: str = ""
    package: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Where and how backends with weights run.

    weights: folder of the backends' files, relative to the repository; "" is none.
    device: "cpu", "cuda", …; "" is a GPU where there is one. On a GPU they run in half precision.
    """

    weights: str = ""
    device: str = ""

    @property
    def folder(self) -> Path:
        """Of the weights, absolute."""
        return ROOT / self.weights

    @property
    def on(self) -> str:
        """The device, looked up where none is named."""
        return self.device or _default_device()

    @property
    def half(self) -> bool:
        """Whether backends run in half precision."""
        return self.on != "cpu"


@lru_cache
def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def lacking(needs: Needs, settings: Settings) -> str | None:
    """Which of a backend's needs is not met here, in a few words; None if nothing is missing.

    Only looks whether files and packages are there; reads and imports nothing.
    """
    if absent := _not_installed(needs):
        return f"the package {', '.join(absent)} is not installed"
    if not settings.weights:
        return "no folder of weights was given"
    if not (settings.folder / needs.weights).exists():
        return f"no {needs.weights} in {settings.weights}"
    if needs.package and find_spec(needs.package) is None and not (settings.folder / needs.code).is_dir():
        return f"no {needs.code} in {settings.weights}, and no package {needs.package} is installed"
    return None


def remedy(needs: Needs, settings: Settings) -> str:
    """What to do about `lacking`."""
    if absent := _not_installed(needs):
        return f"Install it: pip install {' '.join(absent)}."
    folder = settings.weights or "DIR"
    return f"Fetch it: {DOWNLOAD} --what extractors --to {folder}; then pass --weights {folder}."


def _not_installed(needs: Needs) -> list[str]:
    return [package for package in needs.others if find_spec(package) is None]


@lru_cache
def fingerprint(needs: Needs, settings: Settings) -> str:
    """A digest of what decides a backend's answers: its weights and code, and the settings that show in a result.

    Of large files the names, sizes and ends are read, not all of the content.
    """
    parts = [str(settings.half)]
    for name in filter(None, (needs.weights, needs.code)):
        top = settings.folder / name
        files = [top] if top.is_file() else sorted(p for p in top.rglob("*.*") if p.is_file())
        for path in files:
            if path.suffix in _DECIDING:
                size, ends = path.stat().st_size, digest(*ends_of(path, _ENDS))
                parts.append(f"{path.relative_to(top)} {size} {ends}")
    return digest(*parts)


def load_code(needs: Needs, module: str, settings: Settings) -> ModuleType:
    """Import `module` of a backend's upstream code, from the weights folder if it is there, else as installed.

    While it is imported its folder comes first on the path. Afterwards the path is as before and the folder's modules
    are forgotten (upstream calls one `utils`); what was imported keeps them alive.
    """
    torchvision_compat.ensure()
    folder = settings.folder / needs.code
    before, path = set(sys.modules), list(sys.path)
    if settings.weights and folder.is_dir():
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    except ImportError as error:
        expected = f"upstream's repository in {folder} and the packages it imports"
        raise InputError(f"{needs.code} code", str(error), expected,
                         "Download it again, or install what it names.") from None  # fmt: skip
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if needs.code and _place(sys.modules[name]).is_relative_to(folder):
                del sys.modules[name]


def _place(module: ModuleType) -> Path:
    """The file of a module, or the folder of a package without one."""
    return Path(getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), ""))


def load_state(path: Path):
    """A state dict from a .pth file, possibly under the key `model`; nothing in the file is executed."""
    import torch

    regular(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds
        raise InputError(path, f"no readable weights ({type(error).__name__})", "the .pth file as published",
                         "Download it again.") from None  # fmt: skip
    return state.get("model", state)


def fill(model, path: Path):
    """`model` with the weights in a .pth file; InputError where they are another model's."""
    try:
        model.load_state_dict(load_state(path))
    except RuntimeError as error:
        raise InputError(path, str(error).splitlines()[-1].strip(), f"weights of {type(model).__name__}") from None
    return model


def from_folder(processor: type, model: type, needs: Needs, settings: Settings, dtype) -> tuple:
    """A processor and a model of these transformers classes, from files alone, with safetensors weights.

    dtype: of the weights.
    """
    folder = settings.folder / needs.weights
    try:
        made = processor.from_pretrained(folder, local_files_only=True)
        loaded = model.from_pretrained(folder, local_files_only=True, dtype=dtype)
        return made, loaded.to(settings.on).eval()
    except (OSError, ValueError, KeyError) as error:
        found = str(error).strip().splitlines()[0]
        raise InputError(folder, found, "a snapshot of the model, as published", "Download it again.") from None
