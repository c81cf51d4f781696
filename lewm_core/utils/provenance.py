"""What made a result: the code's version, the libraries, the machine's kind. No names of hosts or users."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import digest
from lewm_core.utils.workspace import ROOT

PACKAGE = Path(__file__).resolve().parents[1]
SIMULATED = ("tabletop", "play")  # data sources that are simulated, which is said wherever they are named
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "h5py", "opencv-python-headless", "mujoco", "matplotlib")


def collect(**extra: object) -> dict[str, object]:
    """A JSON-ready record of what is running.

    extra: what the caller knows: profile, data, fingerprint, seeds, base, duration_s, …
    """
    commit, dirty = revision()
    return {
        "commit": commit,
        "dirty": dirty,
        "versions": versions(*LIBRARIES),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": _device(),
        **extra,
    }


def data_label(data: str | None) -> str | None:
    """The name of a data source as readers see it: simulated data are called so wherever they are named."""
    return f"{data}, simulated" if data in SIMULATED else data


def caption(record: Mapping[str, object]) -> str:
    """One line that says what made a figure, from a record as `Study.about` makes it; base and seeds only of runs, the
    profile only of a study's."""
    profile = [f"profile {record['profile']}"] if "profile" in record else []
    parts = [*profile, f"data: {data_label(record['data'])}"]
    if "base" in record:
        parts += [f"base: {record['base']}", _seeds(record["seeds"])]
    commit = f"commit {record['commit'][:10]}" if record["commit"] else "commit unknown"
    return " · ".join([*parts, commit + (" with local changes" if record["dirty"] else "")])


def _seeds(seeds: Mapping[str, int] | Sequence[int]) -> str:
    """How many seeds, in words; `seeds` is a list of them, or their number by group."""
    if isinstance(seeds, Mapping):
        between = "; " if any("," in group for group in seeds) else ", "
        return "seeds: " + between.join(f"{count} {group}" for group, count in seeds.items())
    return f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"


def revision(root: Path = ROOT) -> tuple[str | None, bool | None]:
    """(commit, dirty) of the checkout at `root`; (None, None) where it is none or git is missing.

    Regenerated figures do not make it dirty: they are results, not what made them.
    """

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()).resolve() != root.resolve():
            return None, None  # only lies inside somebody else's checkout
        commit = git("rev-parse", "--verify", "HEAD").strip()
        return commit, bool(git("status", "--porcelain", "--", ".", ":(exclude)figures").strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None


def versions(*names: str) -> dict[str, str | None]:
    """Installed version of each distribution, None for those that are not installed. Imports none of them."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def code_digest(*modules: str) -> str:
    """Digest of the source of the named parts of lewm_core; of the whole package if none is named.

    modules: a module ("losses") or a package ("signals", all its files).
    """
    files: set[Path] = set()
    for name in modules or ("",):
        module, folder = PACKAGE / f"{name}.py", PACKAGE / name
        if name and module.is_file():
            files.add(module)
        elif folder.is_dir():
            files.update(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        else:
            known = ", ".join(sorted(p.stem for p in PACKAGE.iterdir() if not p.name.startswith("__")))
            raise InputError("code_digest", repr(name), f"a module of lewm_core: {known}")
    parts = [part for p in sorted(files) for part in (p.relative_to(PACKAGE).as_posix(), p.read_bytes())]
    return digest(*parts)


def _device() -> str | None:
    """Torch's device (its first GPU, else the CPU) if it is imported already; importing it takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(0)})"
    return f"cpu ({usable_cores()} cores)"


def usable_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_memory() -> int:
    """The bytes of memory that this process may still take: what is free, within the limits set on it."""
    import psutil  # not above: the command line's --help needs the standard library alone

    process, free = psutil.Process(), psutil.virtual_memory().available
    free = min([free, *_room_in_container()])
    if hasattr(process, "rlimit"):
        limit = process.rlimit(psutil.RLIMIT_AS)[0]
        if limit != psutil.RLIM_INFINITY:
            free = min(free, limit - process.memory_info().vms)
    return max(0, free)


def _room_in_container() -> list[int]:
    """Bytes left below a container's limit, where there is one; files' cache counts as free, since it is given back."""
    groups = Path("/sys/fs/cgroup")
    versions_of_groups = (
        (groups, "memory.max", "memory.current", "inactive_file"),
        (groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    found = []
    for folder, limit, used, cache in versions_of_groups:
        try:
            room = int((folder / limit).read_text()) - int((folder / used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            found.append(room + int(stat.get(cache, 0)))
        except (OSError, ValueError):  # no such group, or its limit is "max"
            continue
    return found
