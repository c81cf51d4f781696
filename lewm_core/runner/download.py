"""Fetching what the paper's own pipeline needs: BridgeData shards, base weights, extractor weights, upstream's code.

`transfer` fetches and checks one file; here is which files there are, what the user is told, and in what order.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lewm_core.runner.arguments import FAILED, OK, check_writable
from lewm_core.runner.transfer import File, Remote, ask, check, fetch, hub_file, part_of, recorded, size_of
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.files import new_folder

SHARDS = 1024  # train shards of bridge_dataset 1.0.0
BRIDGE = "https://rail.eecs.berkeley.edu/datasets/bridge_release/data/tfds/bridge_dataset/1.0.0/"


@dataclass(frozen=True)
class Repository:
    """Files of a model repository on the hub, and the folder they go to; "." is the weights folder itself."""

    name: str
    folder: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """A repository of upstream's code, to be cloned into `folder` at the commit with which ours was tried."""

    url: str
    folder: str
    commit: str


REPOSITORIES = {  # places as the backends' `needs` name them (lewm_core.signals)
    "base": [Repository("quentinll/lewm-cube", "lewm-cube", ("config.json", "weights.pt"))],
    "extractors": [
        Repository("depth-anything/Video-Depth-Anything-Small", ".", ("video_depth_anything_vits.pth",)),
        Repository("depth-anything/Depth-Anything-V2-Small-hf", "Depth-Anything-V2-Small-hf",
                   ("config.json", "preprocessor_config.json", "model.safetensors")),
        Repository("facebook/cotracker3", ".", ("scaled_offline.pth",)),
        Repository("facebook/sam3", "sam3",  # gated: one must accept its licence there and log in
                   ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
                    "special_tokens_map.json", "vocab.json", "merges.txt", "model.safetensors")),
    ],
}
CODE = (
    Code("https://github.com/DepthAnything/Video-Depth-Anything", "Video-Depth-Anything",
         "4f5ae23172ba60fd7bc11ef671cca678842c7072"),
    Code("https://github.com/facebookresearch/co-tracker", "co-tracker", "82e02e8029753ad4ef13cf06be7f4fc5facdda4d"),
)
WHAT = ("bridge", *REPOSITORIES)


def files(what: Iterable[str] = WHAT, shards: int = 4) -> list[File]:
    """Everything that `what` names, the first `shards` train shards of Bridge among it; InputError for other names."""
    what = [known(WHAT, name, "--what") for name in what]
    if not 1 <= shards <= SHARDS:
        raise InputError("--shards", str(shards), f"1 to {SHARDS}")
    found = []
    if "bridge" in what:
        names = [f"bridge_dataset-train.tfrecord-{i:05d}-of-{SHARDS:05d}" for i in range(shards)]
        found += [File(BRIDGE + name, f"bridge_dataset/1.0.0/{name}")
                  for name in ("dataset_info.json", "features.json", *names)]
    for repository in (r for kind in what for r in REPOSITORIES.get(kind, ())):
        found += [hub_file(repository.name, name, str(PurePosixPath(repository.folder, name)))
                  for name in repository.files]
    return found


def download(wanted: list[File], folder: Path, yes: bool = False,
             code: Iterable[Code] = ()) -> tuple[dict[str, object], int]:
    """Say what there is to fetch, ask unless `yes`, fetch, clone `code`.

    What is said and asked goes to stderr. Returns the report (paths below `folder`: there, fetched, missing with the
    reason) and the exit code: 0 all is there, 1 it is not.
    Raises InputError where nothing can be fetched: `folder` is a file, or has too little room.
    """
    check_writable(folder, "--to")
    there, to_fetch, missing = survey(wanted, folder)
    if to_fetch:
        _check_room(to_fetch, folder)
    fetched = []
    if to_fetch and not yes and not _confirmed():
        missing |= {file: "not fetched, as you chose" for file in to_fetch}
        to_fetch = {}
    for file, remote in to_fetch.items():
        try:
            fetch(file, remote, folder)
            fetched.append(file.path)
        except InputError as error:
            missing[file] = str(error)
    if missing:
        _by_hand(missing, folder)
    cloned = [clone(c, folder) for c in code]
    report = {"folder": str(folder), "there": there, "fetched": fetched,
              "missing": {file.path: reason for file, reason in missing.items()}}
    return report, OK if not missing and all(cloned) else FAILED


def survey(wanted: list[File], folder: Path) -> tuple[list[str], dict[File, Remote], dict[File, str]]:
    """What is there and verified, what can be fetched, and what cannot be had, with the reason."""
    known = recorded(folder)

    def answer(file: File) -> Remote:
        if file.path in known and (folder / file.path).exists():
            return Remote()  # the record says more than the server
        return ask(file)

    with ThreadPoolExecutor(8) as pool:
        remotes = dict(zip(wanted, pool.map(answer, wanted), strict=True))
    there, to_fetch, missing = [], {}, {}
    for file, remote in remotes.items():
        try:
            if check(file, None if remote.problem else remote, folder):
                there.append(file.path)
                _say(f"{_human(size_of(folder / file.path)):>10}  there     {file.path}")
            elif remote.problem:
                missing[file] = remote.problem
            else:
                to_fetch[file] = remote
                _say(f"{_human(remote.size):>10}  to fetch  {file.path}")
        except InputError as error:
            missing[file] = str(error)
    return there, to_fetch, missing


def _check_room(to_fetch: dict[File, Remote], folder: Path) -> None:
    left = sum((remote.size or 0) - size_of(part_of(folder / file.path)) for file, remote in to_fetch.items())
    parent = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(parent).free
    _say(f"{_human(left):>10}  in all to fetch; {_human(free)} free in {folder}")
    if left > free:
        raise InputError(folder, f"{_human(free)} free", f"{_human(left)} for what is left to fetch",
                         "Choose fewer --shards, other --what, or another folder.")


def clone(code: Code, folder: Path) -> bool:
    """Upstream's code at its commit in `folder`, cloned unless it is there; says what to do by hand if that fails."""
    target = folder / code.folder
    try:
        if not target.exists():
            with new_folder(target) as scratch:
                _git("clone", "--quiet", "--no-checkout", code.url, str(scratch))
                _git("-C", str(scratch), "checkout", "--quiet", code.commit)
        found = _git("-C", str(target), "rev-parse", "HEAD")
        if found == code.commit:
            _say(f"{'code':>10}  there     {code.folder} at {code.commit[:10]}")
            return True
        reason = f"it is at {found[:10]}"
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
    _say(f"\nNot cloned ({reason}). By hand:\n  git clone {code.url} {target}\n"
         f"  git -C {target} checkout {code.commit}")
    return False


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=600,
                          stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def _confirmed() -> bool:
    _say("Fetch them now? [y/N] ", end="")
    answer = sys.stdin.readline()
    if not answer:
        _say("(no answer; add --yes to fetch without asking)")
    return answer.strip().lower() in ("y", "yes")


def _by_hand(missing: dict[File, str], folder: Path) -> None:
    _say("\nNot fetched. To do it by hand, from a machine with access, put each of these files in its place and call "
         "again:")
    for file, reason in missing.items():
        _say(f"  {file.url}\n    -> {folder / file.path}\n    ({reason})")


def _say(text: str, end: str = "\n") -> None:
    print(escape.message(text), file=sys.stderr, end=end, flush=True)


def _human(size: int | None) -> str:
    if size is None:
        return "? B"
    if size < 1000:
        return f"{size} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if size < 1000 * scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e9:.2f} GB"
