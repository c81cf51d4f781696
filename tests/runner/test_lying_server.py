"""Downloads from a server on this machine that lies: one error each, soon, and nothing of it is kept."""

import gzip
import itertools
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import huggingface_hub
import pytest
from huggingface_hub import constants

from lewm_core.runner import download
from lewm_core.runner.arguments import FAILED, OK
from lewm_core.runner.transfer import File, Remote, ask, fetch, recorded
from lewm_core.utils import downloads
from lewm_core.utils.errors import InputError

BODY = bytes(range(256)) * 1000
over = Event()  # the test's end, for those who wait


def headers(handler, status: int = 200, **named: object) -> None:
    handler.send_response(status)
    for name, value in named.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


def plain(handler):
    headers(handler, Content_Length=len(BODY))
    if handler.command == "GET":
        handler.wfile.write(BODY)


def endless(handler, **named):
    headers(handler, **named)
    while handler.command == "GET" and not over.is_set():
        handler.wfile.write(BODY)


def stalls(handler):
    headers(handler, Content_Length=len(BODY))
    if handler.command == "GET":
        handler.wfile.write(BODY[:1000])
        over.wait(60)


def silent(handler):
    if handler.command == "HEAD":
        headers(handler, Content_Length=len(BODY))
    else:
        over.wait(60)


def drips(handler):
    headers(handler, Content_Length=len(BODY))
    for i in itertools.count() if handler.command == "GET" else ():
        if over.wait(0.05):
            break
        handler.wfile.write(BODY[i : i + 1])


BOMB = gzip.compress(bytes(10**7), 1)


def bomb(handler):
    headers(handler, Content_Encoding="gzip", Content_Length=len(BOMB))
    if handler.command == "GET":
        handler.wfile.write(BOMB)


def longer(handler):
    """HEAD says less than GET sends."""
    if handler.command == "HEAD":
        headers(handler, Content_Length=1000)
    else:
        plain(handler)


def longer_unsaid(handler):
    headers(handler, **({"Content_Length": 1000} if handler.command == "HEAD" else {}))
    if handler.command == "GET":
        handler.wfile.write(BODY)


def shorter(handler):
    headers(handler, Content_Length=len(BODY) if handler.command == "HEAD" else 1000)
    if handler.command == "GET":
        handler.wfile.write(BODY[:1000])


def another_range(handler):
    if handler.headers.get("Range"):
        headers(handler, 206, Content_Range=f"bytes 0-999/{len(BODY)}", Content_Length=len(BODY) - 1000)
        handler.wfile.write(BODY[:-1000])
    else:
        plain(handler)


def page(handler):
    headers(handler, Content_Type="text/html; charset=utf-8", Content_Length=len(BODY))
    if handler.command == "GET":
        handler.wfile.write(BODY)


def said(**named):
    def answer(handler):
        headers(handler, **named)
        if handler.command == "GET":
            handler.wfile.write(BODY)
    return answer


def redirect(target):
    def answer(handler):
        headers(handler, 302, Location=target, Content_Length=0)
    return answer


def late(handler):
    """Moved where it is asked for again and again, but only for those who fetch."""
    if handler.command == "HEAD":
        headers(handler, Content_Length=len(BODY))
    else:
        headers(handler, 302, Location="/late?again", Content_Length=0)


def to_a_file(handler):
    if handler.command == "HEAD":
        headers(handler, Content_Length=len(BODY))
    else:
        headers(handler, 302, Location="file:///etc/passwd", Content_Length=0)


def busy(handler):
    if handler.command == "HEAD":
        headers(handler, Content_Length=len(BODY))
    else:
        headers(handler, 429, Retry_After=10**9, Content_Length=0)


def endless_refusal(handler):
    if handler.command == "HEAD":
        headers(handler, Content_Length=len(BODY))
    else:
        headers(handler, 500)
        while not over.is_set():
            handler.wfile.write(BODY)


def endless_redirection(handler):
    if handler.command == "HEAD":
        headers(handler, Content_Length=len(BODY))
    else:
        headers(handler, 302, Location="/plain")
        while not over.is_set():
            handler.wfile.write(BODY)


LIES = {  # what the server does -> what is said of it; all of it in the error of one file
    "endless": (endless, "more than 1,000,000 bytes"),
    "endless, of a size": (lambda h: endless(h, **({"Content_Length": 5000} if h.command == "HEAD" else {})),
                           "more than 5,000 bytes"),
    "stalls": (stalls, "1000 bytes, then no more (nothing more comes)"),
    "silent": (silent, "0 bytes, then no more (no answer)"),
    "drips": (drips, "less than 15,000 bytes in 0.5 s"),
    "bomb": (bomb, "compressed with gzip"),
    "longer": (longer, "more than 1,000 bytes"),
    "longer, unsaid": (longer_unsaid, "more than 1,000 bytes"),
    "shorter": (shorter, "1000 bytes, then no more"),
    "page": (page, "a web page instead of the file"),
    "too large": (said(Content_Length=0, X_Linked_Size=10**14), "100000000000000 bytes, more than 50,000,000,000"),
    "no size": (said(Content_Length=0, X_Linked_Size="-5"), "x-linked-size '-5'"),
    "digits": (said(Content_Length=0, X_Linked_Size="9" * 5000), "x-linked-size"),
    "another sum": (said(ETag='"' + "0" * 64 + '"', Content_Length=len(BODY)), "with " + "0" * 64),
    "loop": (redirect("/loop"), "redirects"),
    "late": (late, "redirects"),
    "to a file": (to_a_file, "a redirection to file:/"),
    "to a file at once": (redirect("file:///etc/passwd"), "a redirection to file:/"),
    "nowhere": (redirect("http://[::1"), "Invalid port"),
    "busy": (busy, "the server answers 429"),
    "endless refusal": (endless_refusal, "more than 1,000,000 bytes"),
    "endless redirection": (endless_redirection, "more than 1,000,000 bytes"),
}


@pytest.fixture
def server(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            name = self.path.strip("/").partition("?")[0].replace("%20", " ")
            try:
                LIES.get(name, (another_range if name == "range" else plain,))[0](self)
            except OSError:  # the other side had enough
                pass

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    over.clear()
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    monkeypatch.setattr(downloads, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr("lewm_core.runner.transfer.MOST_UNANNOUNCED", 1_000_000)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setenv("no_proxy", "*")
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield lambda name: File(f"http://127.0.0.1:{http.server_address[1]}/{name}".replace(" ", "%20"), f"{name}.bin")
    over.set()
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_error_and_leaves_nothing(server, tmp_path, name, capsys):
    began = time.monotonic()
    report, code = download.download([server(name), server("plain")], tmp_path, yes=True)
    assert code == FAILED and report["fetched"] == ["plain.bin"] and list(report["missing"]) == [f"{name}.bin"]
    assert LIES[name][1] in report["missing"][f"{name}.bin"], report["missing"]
    assert time.monotonic() - began < 60  # a busy machine; alone it takes two
    (kept,) = recorded(tmp_path)
    assert kept == "plain.bin" and (tmp_path / kept).read_bytes() == BODY
    left = sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("plain") and p.suffix != ".json")
    goes_on = name in ("stalls", "shorter")  # a later call goes on there
    assert left == ([f"{name}.bin.part"] if goes_on else []), left
    assert all((tmp_path / part).stat().st_size <= 1_000_000 for part in left)


def test_what_came_before_a_stall_is_gone_on_with(server, tmp_path, monkeypatch):
    file = server("stalls")
    with pytest.raises(InputError, match="1000 bytes, then no more .*Call again: it goes on from there"):
        fetch(file, Remote(len(BODY)), tmp_path)
    monkeypatch.setitem(LIES, "stalls", (plain,))
    fetch(file, Remote(len(BODY)), tmp_path)
    assert (tmp_path / "stalls.bin").read_bytes() == BODY


def test_another_part_than_asked_for_is_not_taken(server, tmp_path):
    (tmp_path / "range.bin.part").write_bytes(BODY[:1000])
    with pytest.raises(InputError, match="another part than asked for: 'bytes 0-999/256000'.*It was removed"):
        fetch(server("range"), Remote(len(BODY)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["bin", "part"])
def test_a_folder_or_a_pipe_in_the_way(server, tmp_path, what, capsys):
    import os

    file = server("plain")
    place = tmp_path / ("plain.bin" if what == "bin" else "plain.bin.part")
    for make in (place.mkdir, lambda: os.mkfifo(place)):
        make()
        report, code = download.download([file, File(file.url, "other.bin")], tmp_path, yes=True)
        assert code == FAILED and "not a file" in report["missing"]["plain.bin"], report
        place.rmdir() if place.is_dir() else place.unlink()


def test_an_honest_server_is_believed(server, tmp_path):
    assert ask(server("plain")) == Remote(len(BODY), None)
    assert download.download([server("plain")], tmp_path, yes=True)[1] == OK


def test_a_place_that_cannot_be_written_is_said_before_a_server_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ask", lambda file: pytest.fail("asked"))
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/dev/null/x")):
        with pytest.raises(InputError, match="--to"):
            download.download([File("http://127.0.0.1:9/x", "x")], folder, yes=True)
