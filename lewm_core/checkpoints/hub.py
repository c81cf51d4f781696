"""From a checkpoint's name to its files: a file, a folder, or a repository of the Hugging Face hub. No torch here.

The hub's own library downloads, into its own cache; HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE mean what they always do.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lewm_core.utils.downloads import Refused, limited
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import file_digest
from lewm_core.utils.workspace import BASES

SUFFIXES = (".safetensors", ".pt", ".ckpt")  # in a folder that has several kinds, the first kind is read
HUB_FILES = ("model.safetensors", "weights.pt")  # in a repository, the first that is there
CONFIG, HEADS = "config.json", "heads.safetensors"
MOST = {CONFIG: 1_000_000, **dict.fromkeys(HUB_FILES, 10_000_000_000)}  # bytes that are fetched of each


class _NotHere(InputError):
    """Not in the cache, and the hub cannot be asked."""


@dataclass(frozen=True)
class Files:
    """A checkpoint's files. name: as figures and records show it, never with a folder of this machine.

    config: the `config.json` beside the weights, or None.
    """

    name: str
    weights: Path
    config: Path | None


def is_id(name: str) -> bool:
    """Whether `name` has the form of a repository's name, OWNER/NAME, and not of a weights file's."""
    return bool(re.fullmatch(r"[a-zA-Z0-9][\w.-]*/[a-zA-Z0-9][\w.-]*", name, re.ASCII)) and not name.endswith(SUFFIXES)


def check_base(name: str) -> None:
    """InputError unless `name` is a base of ours, is there, or has the form of a hub id. Nothing is read."""
    if name not in BASES and not Path(name).exists() and not is_id(name):
        raise InputError("base", f"{name!r}, no file or folder", f"one of {', '.join(BASES)}, or a checkpoint: a "
                         "weights file, a folder with one, or a hub id such as quentinll/lewm-cube")


def find(name: str | Path) -> Files:
    """The files of a checkpoint: a weights file, a folder with one, or a hub id such as quentinll/lewm-cube.

    What exists on this machine is taken before the hub is asked. Raises InputError for anything that is not there or
    not clear, and for a repository that can neither be reached nor read from the cache: that one says what to fetch.
    """
    path = Path(name)
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise InputError(name, f"a {path.suffix or 'nameless'} file", "one of " + ", ".join(SUFFIXES))
        plain = path.stem in ("model", "weights")  # says nothing: its folder does
        return Files(path.resolve().parent.name if plain else path.stem, path, _beside(path))
    if path.is_dir():
        weights = _only_weights(path)
        return Files(path.resolve().name, weights, _beside(weights))
    if is_id(str(name)):
        return _fetch(str(name))
    raise InputError(name, "no such file or folder", "a weights file, a folder with one, or a hub id (OWNER/NAME)")


def _beside(weights: Path) -> Path | None:
    config = weights.with_name(CONFIG)
    return config if config.is_file() else None


def _only_weights(folder: Path) -> Path:
    """The weights in `folder`, which may hold one file of each kind."""
    kinds = {s: sorted(p for p in folder.glob(f"*{s}") if p.name != HEADS and p.is_file()) for s in SUFFIXES}
    if many := [p.name for paths in kinds.values() if len(paths) > 1 for p in paths]:
        raise InputError(folder, "several weights: " + ", ".join(many), "one", "Name the file that you mean.")
    found = [paths[0] for paths in kinds.values() if paths]
    if not found:
        raise InputError(folder, "no weights in it", "a file " + " or ".join(f"*{s}" for s in SUFFIXES))
    return found[0]


def _fetch(repo: str) -> Files:
    """`config.json` and weights of a repository, all of one revision, from the cache or downloaded into it."""
    from huggingface_hub import constants, hf_hub_download, hf_hub_url
    from huggingface_hub import errors as hub

    urls = [hf_hub_url(repo, file) for file in (CONFIG, HUB_FILES[1])]
    remedy = (f"Fetch {urls[0]} and {urls[1]} where there is a network, put both files into one folder here and name "
              "that folder instead.")
    where = f"hub repository {repo}"

    def get(file: str, revision: str | None = None) -> Path | None:
        try:
            with limited(MOST[file]):
                path = Path(hf_hub_download(repo, file, revision=revision))
            if path.stat().st_size > MOST[file]:  # put into the cache by something else
                raise Refused(f"more than {MOST[file]:,} bytes")
            _check_sum(path)
            return path
        except hub.LocalEntryNotFoundError as error:
            state = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else "the hub cannot be reached"
            raise _NotHere(where, f"no {file} in the cache, and {state}", "a cached copy or a network",
                           remedy) from error
        except hub.EntryNotFoundError:
            return None
        except hub.GatedRepoError as error:
            raise InputError(where, "access refused", "a repository that you may read",
                             "Ask for access on its page, then log in with: hf auth login") from error
        except hub.RepositoryNotFoundError as error:
            raise InputError(where, f"no such repository on {constants.ENDPOINT}, and no such file or folder here",
                             "a checkpoint") from error
        except Exception as error:  # of the HTTP library below, which is another in each version, or of the disk
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(where, f"no {file} ({reason})", "a whole download", remedy) from error

    config = get(CONFIG)
    if config is None:
        raise InputError(where, f"no {CONFIG}", f"{CONFIG} and {' or '.join(HUB_FILES)}")
    revision, missing = config.parent.name, None  # the cache's folders are named by revision
    for file in HUB_FILES:
        try:
            if weights := get(file, revision):
                return Files(repo, weights, config)
        except _NotHere as error:  # offline nobody knows whether the repository has this one: the next may be cached
            missing = error
    raise missing or InputError(where, f"neither {' nor '.join(HUB_FILES)}", "one of them")


def _check_sum(path: Path) -> None:
    """Refused, and nothing left in the cache, for a file whose content is not what the hub's name for it says.

    The cache keeps a file under its ETag, which for large files is their SHA-256.
    """
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name) and file_digest(blob, 64) != blob.name:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise Refused("another checksum than the hub says; it was removed from the cache")
