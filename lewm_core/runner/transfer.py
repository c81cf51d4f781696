"""One file over HTTP: what the server says of it, fetching it in pieces, and checking it against what was recorded."""

import json
import os
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import file_digest, write_json

TOKEN = "HF_TOKEN"  # environment variable with an access token, for gated repositories
ATTEMPTS = 5  # without a byte of progress
PAUSE = 2.0  # s after the first such attempt, twice that after the second, …
TIMEOUT = 30  # s
_CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """One file to fetch. path: where it goes, below the folder. gated: see Repository."""

    url: str
    path: str
    gated: bool = False


@dataclass(frozen=True)
class Remote:
    """What a server says of a file: bytes and SHA-256 (None where it does not), or why it gives nothing."""

    size: int | None = None
    sha256: str | None = None
    problem: str = ""


class _Redirects(HTTPRedirectHandler):
    """Follows redirections with the same method, and keeps what the hub says of a file on the first one."""

    def redirect_request(self, request, fp, code, message, headers, url):
        new = super().redirect_request(request, fp, code, message, headers, url)
        if new is not None:
            new.method = request.get_method()
            new.linked = getattr(request, "linked", {}) | {k.lower(): v for k, v in headers.items()
                                                           if k.lower().startswith("x-linked-")}
            request.linked = new.linked
        return new


_OPENER = build_opener(_Redirects)


def _open(file: File, method: str = "GET", start: int = 0):
    request = Request(file.url, method=method, headers={"User-Agent": "lewm-core", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    if file.gated and os.environ.get(TOKEN):
        request.add_unredirected_header("Authorization", f"Bearer {os.environ[TOKEN]}")  # to that host alone
    response = _OPENER.open(request, timeout=TIMEOUT)
    response.linked = getattr(request, "linked", {})
    return response


def ask(file: File) -> Remote:
    """Size and checksum of a file by an HTTP HEAD; never raises."""
    if file.gated and not os.environ.get(TOKEN):
        return Remote(problem=f"gated: accept the licence at {file.url.split('/resolve/')[0]} and set {TOKEN}")
    try:
        with _open(file, "HEAD") as response:
            size = response.linked.get("x-linked-size") or response.headers.get("Content-Length")
            tag = response.linked.get("x-linked-etag", "").strip('"')
            return Remote(int(size) if size else None, tag if len(tag) == 64 else None)
    except HTTPError as error:
        denied = f" (has the account of {TOKEN} been granted access?)" if file.gated else ""
        return Remote(problem=f"the server answers {error.code} {error.reason}{denied}")
    except (OSError, HTTPException, ValueError) as error:
        return Remote(problem=f"no connection ({getattr(error, 'reason', error)})")


def fetch(file: File, remote: Remote, folder: Path) -> None:
    """Fetch a file by way of `<path>.part`, from where an earlier call stopped, and record its checksum.

    Raises:
        InputError: no connection, or what came has another size or checksum than announced (it is removed then).
    """
    path = folder / file.path
    part = part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    failures, problem = 0, ""
    with tqdm(total=remote.size, desc=path.name, unit="B", unit_scale=True, file=sys.stderr, mininterval=1) as bar:
        while failures < ATTEMPTS:
            before = size_of(part)
            if remote.size is not None and before >= remote.size:
                break
            try:
                _append(file, part, before, bar)
                if remote.size is None or size_of(part) >= remote.size:
                    break
                problem = "the connection was cut"
            except HTTPError as error:
                raise InputError(file.url, f"the answer {error.code} {error.reason}", "the file") from None
            except (OSError, HTTPException) as error:
                problem = str(getattr(error, "reason", error))
            failures = 0 if size_of(part) > before else failures + 1
            time.sleep(PAUSE * failures)
        else:
            raise InputError(file.url, f"{size_of(part)} bytes, then no more ({problem})",
                             f"{remote.size or 'all'} bytes", "Call again: it goes on from there.")
    size, sha256 = size_of(part), file_digest(part, 64)
    if remote.size not in (None, size) or remote.sha256 not in (None, sha256):
        part.unlink()
        raise InputError(file.url, f"{size} bytes with SHA-256 {sha256}",
                         f"{remote.size} bytes" + (f" with {remote.sha256}" if remote.sha256 else ""),
                         "It was removed. Call again.")
    os.replace(part, path)
    _record(folder, file, size, sha256)


def _append(file: File, part: Path, start: int, bar: tqdm) -> None:
    """Write what the server sends behind the first `start` bytes, or anew if it sends all."""
    with _open(file, start=start) as response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        bar.n = start if resumed else 0
        mode = "ab" if resumed else "wb"
        while chunk := response.read(_CHUNK):
            try:
                with open(part, mode) as f:
                    f.write(chunk)
            except OSError as error:
                found = f"that it cannot be written ({error.strerror or error})"
                raise InputError(part, found, "a folder with room") from None
            mode = "ab"
            bar.update(len(chunk))


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
    size, sha256, remedy = size_of(path), file_digest(path, 64), "Remove the file to fetch it again."
    if known:
        if (size, sha256) != (known["bytes"], known["sha256"]):
            raise InputError(path, f"{size} bytes with SHA-256 {sha256}", f"{known['bytes']} bytes with "
                             f"{known['sha256']}, as checksums.json says", remedy)
        return True
    if remote and (remote.size not in (None, size) or remote.sha256 not in (None, sha256)):
        raise InputError(path, f"{size} bytes with SHA-256 {sha256}", f"{remote.size} bytes"
                         + (f" with {remote.sha256}" if remote.sha256 else "") + ", as the server says", remedy)
    _record(folder, file, size, sha256)
    return True


def recorded(folder: Path) -> dict[str, dict]:
    """path → bytes, sha256 and url, as written at the end of its download."""
    path = folder / "checksums.json"
    try:
        content = json.loads(path.read_text()) if path.exists() else {}
        return {name: {"bytes": int(v["bytes"]), "sha256": str(v["sha256"])} | v for name, v in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(path, f"that it cannot be understood ({error})", "what this command writes",
                         "Remove it: the files are then checked against the servers and recorded anew.") from None


def _record(folder: Path, file: File, size: int, sha256: str) -> None:
    entry = {"bytes": size, "sha256": sha256, "url": file.url}
    write_json(folder / "checksums.json", recorded(folder) | {file.path: entry})


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
