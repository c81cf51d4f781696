"""Fetch what the paper's own pipeline needs into one folder: BridgeData shards, base weights, extractor weights.

    python -m lewm_core.runner.download --to DIR                       # sizes first, then a question
    python -m lewm_core.runner.download --to DIR --what bridge --shards 10 --yes

A call that was cut goes on where it stopped; a later one verifies what is there and fetches only the rest. SHA-256
sums are kept in DIR/checksums.json. Without a network the exact list of files and places is printed: put them there by
hand and call again, which verifies and records them. Exit codes: 0 all is there, 1 some files are not, 2 nothing
could be done (no network, no space, bad options).
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lewm_core.runner.transfer import File, Remote, ask, check, fetch, part_of, recorded, size_of
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import new_folder

OK, INCOMPLETE, IMPOSSIBLE = 0, 1, 2
SHARDS = 1024  # train shards of bridge_dataset 1.0.0
BRIDGE = "https://rail.eecs.berkeley.edu/datasets/bridge_release/data/tfds/bridge_dataset/1.0.0/"
HUB = "https://huggingface.co/"


@dataclass(frozen=True)
class Repository:
    """Files of a model repository on the hub, and the folder they go to; "." is the weights folder itself.

    gated: one must accept its licence there and pass a token.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    gated: bool = False


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
        Repository("facebook/sam3", "sam3",
                   ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
                    "special_tokens_map.json", "vocab.json", "merges.txt", "model.safetensors"), True),
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
    what = [pick({w: w for w in WHAT}, name, "--what") for name in what]
    if not 1 <= shards <= SHARDS:
        raise InputError("--shards", str(shards), f"1 to {SHARDS}")
    found = []
    if "bridge" in what:
        names = [f"bridge_dataset-train.tfrecord-{i:05d}-of-{SHARDS:05d}" for i in range(shards)]
        found += [File(BRIDGE + name, f"bridge_dataset/1.0.0/{name}")
                  for name in ("dataset_info.json", "features.json", *names)]
    found += [File(f"{HUB}{repository.name}/resolve/main/{name}", str(PurePosixPath(repository.folder, name)),
                   repository.gated)
              for kind in what for repository in REPOSITORIES.get(kind, ()) for name in repository.files]
    return found


def download(wanted: list[File], folder: Path, yes: bool = False, code: Iterable[Code] = ()) -> int:
    """Print what there is to fetch, ask unless `yes`, fetch, clone `code`; returns the exit code."""
    known = recorded(folder)
    with ThreadPoolExecutor(8) as pool:  # what is recorded needs no answer
        answers = pool.map(lambda f: Remote() if f.path in known and (folder / f.path).exists() else ask(f), wanted)
        remotes = dict(zip(wanted, answers, strict=True))
    todo, failed = [], {}
    for file, remote in remotes.items():
        try:
            if check(file, None if remote.problem else remote, folder):
                print(f"{_human(size_of(folder / file.path)):>10}  there     {file.path}")
            elif remote.problem:
                failed[file] = remote.problem
            else:
                todo.append(file)
                print(f"{_human(remote.size):>10}  to fetch  {file.path}")
        except InputError as error:
            failed[file] = str(error)
    left = {f: (remotes[f].size or 0) - size_of(part_of(folder / f.path)) for f in todo}
    space = shutil.disk_usage(next(p for p in (folder, *folder.resolve().parents) if p.exists())).free
    if todo:
        print(f"{_human(sum(left.values())):>10}  in all to fetch; {_human(space)} free in {folder}")
    if failed:
        _by_hand(failed, folder)
    if not todo:
        cloned = [clone(c, folder) for c in code]
        nothing = len(failed) == len(wanted) and not any(cloned)
        return OK if not failed and all(cloned) else IMPOSSIBLE if nothing else INCOMPLETE
    if sum(left.values()) > space:
        raise InputError(folder, f"{_human(space)} free", f"{_human(sum(left.values()))} for what is left to fetch",
                         "Choose fewer --shards, other --what, or another folder.")
    if not yes and not _confirmed():
        print("Nothing was fetched.")
        return INCOMPLETE
    failed_now = {}
    for file in todo:
        try:
            fetch(file, remotes[file], folder)
        except InputError as error:
            failed_now[file] = str(error)
    if failed_now:
        _by_hand(failed_now, folder)
    cloned = [clone(c, folder) for c in code]
    return INCOMPLETE if failed or failed_now or not all(cloned) else OK


def clone(code: Code, folder: Path) -> bool:
    """Upstream's code at its commit in `folder`, cloned unless it is there; says what to do by hand if that fails."""
    target = folder / code.folder

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=600,
                              stdin=subprocess.DEVNULL).stdout.strip()

    try:
        if not target.exists():
            with new_folder(target) as scratch:
                git("clone", "--quiet", "--no-checkout", code.url, str(scratch))
                git("-C", str(scratch), "checkout", "--quiet", code.commit)
        if (found := git("-C", str(target), "rev-parse", "HEAD")) == code.commit:
            print(f"{'code':>10}  there     {code.folder} at {code.commit[:10]}")
            return True
        reason = f"it is at {found[:10]}"
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
    print(f"\nNot cloned ({reason}). By hand:\n  git clone {code.url} {target}\n  git -C {target} checkout "
          f"{code.commit}")
    return False


def _confirmed() -> bool:
    try:
        return input("Fetch them now? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print("(no answer; add --yes to fetch without asking)")
        return False


def _by_hand(failed: dict[File, str], folder: Path) -> None:
    print("\nNot fetched. To do it by hand, from a machine with access, put each of these files in its place and call "
          "again:")
    for file, reason in failed.items():
        print(f"  {file.url}\n    -> {folder / file.path}\n    ({reason})")


def _human(size: int | None) -> str:
    if size is None:
        return "? B"
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("python -m lewm_core.runner.download", description=__doc__, allow_abbrev=False,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder for everything")
    p.add_argument("--what", default=",".join(WHAT), help=f"some of {','.join(WHAT)} (default: all)")
    p.add_argument("--shards", type=int, default=4, metavar="N",
                   help=f"train shards of Bridge, 1 to {SHARDS} (default 4)")
    p.add_argument("--yes", action="store_true", help="fetch without asking")
    options = p.parse_args(argv)
    try:
        if options.to.exists() and not options.to.is_dir():
            raise InputError("--to", f"{options.to}, a file", "a folder, existing or not")
        what = [*filter(None, options.what.split(","))]
        return download(files(what, options.shards), options.to, options.yes, CODE if "extractors" in what else ())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return IMPOSSIBLE
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from there.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
