"""One file over HTTP, by the hub's library: what a server says of it, fetching it, checking it against the record."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lewm_core.utils.downloads import MOST, MOST_UNANNOUNCED, Refused, limited
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import file_digest, regular, sync, write_json
from lewm_core.utils.plain import read_json

RECORD = "checksums.json"


@dataclass(frozen=True)
class File:
    """One file to fetch. path: where it goes, below the folder. hub: the repository of the hub that it is from."""

    url: str
    path: str
    hub: str = ""


@dataclass(frozen=True)
class Remote:
    """What a server says of a file: bytes and SHA-256 (None where it does not), or why it gives nothing."""

    size: int | None = None
    sha256: str | None = None
    problem: str = ""

    def differs(self, size: int, sha256: str) -> bool:
        """Whether a file of that size and sum is another than the one announced."""
        return self.size not in (None, size) or self.sha256 not in (None, sha256)

    def __str__(self) -> str:
        return f"{self.size} bytes" + (f" with {self.sha256}" if self.sha256 else "")


def hub_file(repository: str, name: str, path: str) -> File:
    """A file of the hub; HF_ENDPOINT says where that is."""
    from huggingface_hub import hf_hub_url

    return File(hf_hub_url(repository, name), path, repository)


def ask(file: File) -> Remote:
    """Size and checksum of a file by an HTTP HEAD; never raises."""
    from huggingface_hub import errors, get_hf_file_metadata

    try:
        with limited(MOST):
            said = get_hf_file_metadata(file.url, token=bool(file.hub) and _has_token())
    except errors.GatedRepoError:
        page = file.url.split("/resolve/")[0]
        return Remote(problem=f"gated: accept the licence at {page}, then set HF_TOKEN or log in with: hf auth login")
    except Exception as error:  # of the HTTP library below, which is another in each version
        return Remote(problem=_reason(error))
    if said.size is not None and not 0 <= said.size <= MOST:
        return Remote(problem=f"the server says {said.size} bytes, more than {MOST:,}")
    sha256 = said.etag if said.etag and re.fullmatch("[0-9a-f]{64}", said.etag) else None
    return Remote(said.size, sha256)


def fetch(file: File, remote: Remote, folder: Path) -> None:
    """Fetch a file by way of `<path>.part`, from where an earlier call stopped, and record its checksum.

    Raises:
        InputError: no connection, no room, or what came has another size or checksum than announced, or no server
            should send it (it is removed).
    """
    from huggingface_hub import file_download, utils

    path = folder / file.path
    part = part_of(path)
    for there in (path, part):
        if os.path.lexists(there):
            regular(there)
    headers = utils.build_hf_headers(token=bool(file.hub) and _has_token())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as f, limited(MOST_UNANNOUNCED if remote.size is None else remote.size):
            file_download.http_get(file.url, f, resume_size=f.tell(), headers=headers, expected_size=remote.size,
                                   displayed_filename=path.name)
    except Refused as error:
        part.unlink(missing_ok=True)
        raise InputError(file.url, str(error), str(remote), "It was removed. Call again.") from None
    except Exception as error:  # of the HTTP library, or of the disk
        have = size_of(part)
        if not have:
            part.unlink(missing_ok=True)
        if remote.size is None or have < remote.size:
            raise InputError(file.url, f"{have} bytes, then no more ({_reason(error)})",
                             f"{remote.size or 'all'} bytes", "Call again: it goes on from there.") from None
    size, sha256 = size_of(part), file_digest(part, 64)
    if remote.differs(size, sha256):
        part.unlink()
        raise InputError(file.url, f"{size} bytes with SHA-256 {sha256}", str(remote), "It was removed. Call again.")
    sync(part)
    os.replace(part, path)
    _record(folder, file, size, sha256)


def _has_token() -> bool:
    """Whether the user has a token for the hub, from HF_TOKEN or a login."""
    from huggingface_hub import get_token

    return get_token() is not None


def _reason(error: Exception) -> str:
    """An error of the HTTP library in one line."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason_phrase}"
    return " ".join(str(error).split()) or type(error).__name__


def part_of(path: Path) -> Path:
    """Where the file at `path` grows until it is whole."""
    return path.with_name(path.name + ".part")


def check(file: File, remote: Remote | None, folder: Path) -> bool:
    """Whether the file is there and is what was recorded, or else announced; a file put there by hand is recorded.

    Raises:
        InputError: it is another one; it is left as it is.
    """
    path, known = folder / file.path, recorded(folder).get(file.path)
    if not path.exists():
        return False
    regular(path)
    size, sha256 = size_of(path), file_digest(path, 64)
    if known:
        expected, source = Remote(known["bytes"], known["sha256"]), f"as {RECORD} says"
    else:
        expected, source = remote or Remote(), "as the server says"
    if expected.differs(size, sha256):
        raise InputError(path, f"{size} bytes with SHA-256 {sha256}", f"{expected}, {source}",
                         "Remove the file to fetch it again.")
    if not known:
        _record(folder, file, size, sha256)
    return True


def recorded(folder: Path) -> dict[str, dict]:
    """path → bytes, sha256 and url, as written at the end of its download."""
    path = folder / RECORD
    try:
        content = read_json(path) if path.exists() else {}
        return {name: {"bytes": int(v["bytes"]), "sha256": str(v["sha256"])} | v for name, v in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(path, f"that it cannot be understood ({error})", "what this command writes",
                         "Remove it: the files are then checked against the servers and recorded anew.") from None


def _record(folder: Path, file: File, size: int, sha256: str) -> None:
    entry = {"bytes": size, "sha256": sha256, "url": file.url}
    write_json(folder / RECORD, recorded(folder) | {file.path: entry})


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
