"""The hub's library against a server that may lie: exact limits on what comes, and how slowly, for every request of it.

The library itself follows redirections, goes on where it was cut and compares sizes at the end. Here is what it leaves
open: bodies without an end, compressed ones, a stall, web pages instead of files, names in headers that become paths,
redirections to where nothing should be read. Used by `checkpoints.hub` and `runner.transfer`.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock
from typing import Any

MOST = 50_000_000_000  # bytes of any file
MOST_UNANNOUNCED = 1_000_000_000  # bytes of a file whose size no server tells
MOST_REDIRECTS = 5
MOST_ERROR = 1_000_000  # bytes of an answer that is no file
SLOW_SECONDS, SLOW_BYTES = 15.0, 15_000  # what must come in that time
HARD_TO_RETRY = (408, 429)  # the library would wait for as long as the server says

_lock = Lock()
_limit: ContextVar[int] = ContextVar("limit", default=MOST_UNANNOUNCED)


class Refused(Exception):
    """An answer that is not taken; what was fetched of it is worth nothing."""


class Stalled(Exception):
    """A server that sends nothing, or hardly anything. What came so far may be gone on with."""


@contextmanager
def limited(most: int) -> Iterator[None]:
    """Let the hub's library fetch files of at most so many bytes. Raises Refused and Stalled besides its own errors."""
    with _lock:  # files are asked for by several threads
        _guard()
    token = _limit.set(most)
    try:
        yield
    finally:
        _limit.reset(token)


@cache
def _guard() -> None:
    """Make the library's client ours, for as long as the process lives."""
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import get_session

    own = get_session().event_hooks["request"]  # it says no where HF_HUB_OFFLINE is set

    class Body(httpx2.SyncByteStream):
        """A body that ends, and does not take for ever."""

        def __init__(self, stream: Any, most: int):
            self.stream, self.most = stream, most

        def __iter__(self) -> Iterator[bytes]:
            yield from _measured(self.stream, self.most)

        def close(self) -> None:
            self.stream.close()

    class Client(httpx2.Client):
        def send(self, request: Any, **options: Any) -> Any:
            try:
                return super().send(request, **options)
            except httpx2.ReadTimeout as error:
                if request.method == "HEAD":
                    raise  # the library looks into its cache
                raise Stalled("no answer") from error

    def take(response: Any) -> None:
        _check(response.request, response)
        response.stream = Body(response.stream, _limit.get() if response.is_success else MOST_ERROR)

    set_client_factory(lambda: Client(event_hooks={"request": [*own, _ask_plainly], "response": [take]}, timeout=None,
                                      follow_redirects=True, max_redirects=MOST_REDIRECTS))


def _ask_plainly(request: Any) -> None:
    request.headers["Accept-Encoding"] = "identity"  # sizes and ranges are those of the file itself


def _check(request: Any, response: Any) -> None:
    """Refused for an answer that no honest server gives; what would take the library to other servers is removed."""
    headers = response.headers
    for name in [name for name in headers if name.startswith("x-xet-") or name == "link"]:
        del headers[name]
    if response.status_code in HARD_TO_RETRY:
        raise Refused(f"the server answers {response.status_code} {response.reason_phrase}")
    if response.is_redirect:
        target = request.url.join(headers.get("location", ""))
        if target.scheme not in ("http", "https") or (request.url.scheme, target.scheme) == ("https", "http"):
            raise Refused(f"a redirection to {str(target)[:200]}")
    for name, form in (("x-repo-commit", r"[0-9a-f]{40}"), ("x-linked-size", r"[0-9]{1,15}")):
        if name in headers and not re.fullmatch(form, headers[name]):
            raise Refused(f"an answer with {name} {headers[name][:100]!r}")
    tag = headers.get("x-linked-etag") or headers.get("etag") or ""
    # The library's cache keeps a file under its tag.
    if "x-repo-commit" in headers and not re.fullmatch(r'(W/)?"?\w[\w.-]{,127}"?', tag):
        raise Refused(f"an answer with etag {tag[:100]!r}")
    if request.method == "GET" and response.is_success:
        _check_body(request, headers, response.status_code)


def _check_body(request: Any, headers: Any, status: int) -> None:
    kind, coding = headers.get("content-type", ""), headers.get("content-encoding", "identity")
    if coding.lower() not in ("", "identity"):
        raise Refused(f"a body compressed with {coding[:40]}, which was not asked for")
    if kind.lower().startswith("text/html"):
        raise Refused("a web page instead of the file")
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if status == 206 and not (wanted and headers.get("content-range", "").startswith(f"bytes {wanted[1]}-")):
        raise Refused(f"another part than asked for: {headers.get('content-range', '')[:100]!r}")


def _measured(stream: Any, most: int) -> Iterator[bytes]:
    """The chunks of a body. Refused beyond `most` bytes, Stalled where hardly anything comes."""
    import httpx2

    came, lately, since = 0, 0, time.monotonic()
    try:
        for chunk in stream:
            came, lately, now = came + len(chunk), lately + len(chunk), time.monotonic()
            if came > most:
                raise Refused(f"more than {most:,} bytes")
            if now - since > SLOW_SECONDS:
                if lately < SLOW_BYTES:
                    raise Stalled(f"less than {SLOW_BYTES:,} bytes in {SLOW_SECONDS:g} s")
                lately, since = 0, now
            yield chunk
    except httpx2.ReadTimeout as error:
        raise Stalled("nothing more comes") from error
