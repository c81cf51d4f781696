"""Downloads from a server of our own on this machine: resumed, checked, listed where they cannot be made."""

import hashlib
import io
import json
import re
import shutil
import subprocess
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from lewm_core.runner import commands, download
from lewm_core.runner.arguments import BAD_USAGE, FAILED, OK
from lewm_core.runner.transfer import File, Remote, ask, check, fetch, recorded
from lewm_core.utils.errors import InputError

BODY = np.random.default_rng(0).bytes(3_000_000)
SHA = hashlib.sha256(BODY).hexdigest()


class Server:
    """Serves BODY under any path; its attributes make it misbehave. `log` holds (method, path, Range)."""

    def __init__(self):
        self.log, self.cuts, self.ranges, self.size, self.headers = [], [], True, len(BODY), {}
        self.hosts, self.body, self.status = [], BODY, 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer()

            def do_GET(self):
                self.answer()

            def answer(self):
                outer.log.append((self.command, self.path, self.headers.get("Range")))
                outer.hosts.append(self.headers.get("Authorization"))
                if self.path.startswith("/moved/"):  # as the hub: facts on the redirection, another host behind it
                    self.send_response(302)
                    self.send_header("Location", f"http://localhost:{outer.port}/{self.path.removeprefix('/moved/')}")
                    self.send_header("X-Linked-Size", str(len(BODY)))
                    self.send_header("Content-Length", "0")
                    self.send_header("X-Linked-ETag", f'"{SHA}"')
                    self.end_headers()
                    return
                if self.path.startswith("/gated/") and not self.headers.get("Authorization"):
                    self.refuse(401, "GatedRepo")
                    return
                if outer.status != 200 or self.path == "/absent":
                    self.refuse(outer.status if outer.status != 200 else 404)
                    return
                start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1]) if self.headers["Range"] else 0
                partial = start and outer.ranges
                content = outer.body[start:] if partial else outer.body
                self.send_response(206 if partial else 200)
                if partial:
                    self.send_header("Content-Range", f"bytes {start}-{len(outer.body) - 1}/{len(outer.body)}")
                size = outer.size if self.command == "HEAD" else len(content)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content[: outer.cuts.pop(0)] if outer.cuts else content)

            def refuse(self, status: int, code: str = ""):
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def file(self, path: str = "a.bin", hub: str = "") -> File:
        return File(f"http://127.0.0.1:{self.port}/{path}", f"some/{path.split('/')[-1]}", hub)

    def gets(self) -> list:
        return [r for m, _, r in self.log if m == "GET"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def run(wanted: list[File], folder: Path, yes: bool = True) -> int:
    """The exit code of a download."""
    return download.download(wanted, folder, yes)[1]


def dead() -> File:
    return File("http://127.0.0.1:9/x.bin", "some/x.bin")  # nobody listens on the discard port


def test_a_file_comes_whole_and_is_recorded(server, tmp_path, capsys):
    assert run([server.file()], tmp_path) == OK
    assert (tmp_path / "some/a.bin").read_bytes() == BODY
    assert recorded(tmp_path) == {"some/a.bin": {"bytes": len(BODY), "sha256": SHA, "url": server.file().url}}
    out = capsys.readouterr().err
    assert "3.0 MB  to fetch  some/a.bin" in out and "in all to fetch" in out and " free in " in out
    assert sorted(p.name for p in (tmp_path / "some").iterdir()) == ["a.bin"]

    server.log.clear()
    assert run([server.file()], tmp_path) == OK
    assert server.log == [] and "there     some/a.bin" in capsys.readouterr().err  # verified, without the server


def test_it_goes_on_after_cuts(server, tmp_path):
    server.cuts = [1_000_000, 500_000]
    fetch(server.file(), ask(server.file()), tmp_path)
    assert (tmp_path / "some/a.bin").read_bytes() == BODY
    assert server.gets() == [None, "bytes=1000000-", "bytes=1500000-"]


def test_it_goes_on_where_an_earlier_call_stopped(server, tmp_path):
    server.cuts = [1_000_000] + [0] * 5  # as often as the library tries
    with pytest.raises(InputError, match="1000000 bytes, then no more .*expected 3000000 bytes. Call again"):
        fetch(server.file(), ask(server.file()), tmp_path)
    assert not (tmp_path / "some/a.bin").exists() and recorded(tmp_path) == {}
    assert (tmp_path / "some/a.bin.part").read_bytes() == BODY[:1_000_000]
    server.log.clear()
    fetch(server.file(), ask(server.file()), tmp_path)
    assert server.gets() == ["bytes=1000000-"] and (tmp_path / "some/a.bin").read_bytes() == BODY


def test_a_server_that_knows_no_ranges(server, tmp_path):
    server.ranges, server.cuts = False, [1_000_000]
    fetch(server.file(), ask(server.file()), tmp_path)
    assert server.gets() == [None, "bytes=1000000-"] and (tmp_path / "some/a.bin").read_bytes() == BODY


def test_a_part_that_was_whole_is_only_verified(server, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some/a.bin.part").write_bytes(BODY)
    fetch(server.file(), Remote(len(BODY), SHA), tmp_path)
    assert server.log == [] and (tmp_path / "some/a.bin").read_bytes() == BODY


@pytest.mark.parametrize("remote, found", [
    (Remote(len(BODY) - 1), "more than 2,999,999 bytes"), (Remote(len(BODY), "0" * 64), f"bytes with SHA-256 {SHA}"),
    (Remote(None, "0" * 64), f"{len(BODY)} bytes with SHA-256 {SHA}")])
def test_another_size_or_checksum_than_announced(server, tmp_path, remote, found):
    with pytest.raises(InputError, match=f"{found}; expected .*It was removed"):
        fetch(server.file(), remote, tmp_path)
    assert list((tmp_path / "some").iterdir()) == [] and recorded(tmp_path) == {}


def test_what_the_hub_says_on_a_redirection(server, tmp_path, monkeypatch):
    """Size and SHA-256 stand on the first answer; the token stays with the first host, and is for the hub alone."""
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    file = server.file("moved/w.bin", hub="someone/w")
    assert ask(file) == Remote(len(BODY), SHA)
    assert [m for m, *_ in server.log] == ["HEAD"] and server.hosts == ["Bearer secret"]
    server.cuts = [1_000_000]
    fetch(file, ask(file), tmp_path)
    assert [r for m, p, r in server.log if m == "GET" and p == "/w.bin"] == [None, "bytes=1000000-"]
    sent = {(p.split("/")[1], token) for (_, p, _), token in zip(server.log, server.hosts, strict=True)}
    assert sent == {("moved", "Bearer secret"), ("w.bin", None)}
    assert ask(server.file("w.bin")).sha256 is None and server.hosts[-1] is None
    server.body = BODY[::-1]
    with pytest.raises(InputError, match=f"expected {len(BODY)} bytes with {SHA}"):
        fetch(file, ask(file), tmp_path / "other")


def test_gated_files_need_a_token(server, tmp_path, monkeypatch, capsys):
    files = [server.file(), server.file("gated/sam3/resolve/main/model.bin", hub="gated/sam3")]
    assert run(files, tmp_path) == FAILED
    said = capsys.readouterr().err
    assert f"gated: accept the licence at http://127.0.0.1:{server.port}/gated/sam3, then set HF_TOKEN" in said
    assert (tmp_path / "some/a.bin").exists() and not (tmp_path / "some/model.bin").exists()
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.status = 403
    assert "403" in ask(files[1]).problem
    server.status = 200
    assert run(files, tmp_path) == OK


def test_without_a_network_the_list_is_printed(tmp_path, capsys):
    assert run([dead()], tmp_path) == FAILED
    out = capsys.readouterr().err
    assert f"http://127.0.0.1:9/x.bin\n    -> {tmp_path}/some/x.bin\n    ([Errno" in out
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "some").mkdir()
    (tmp_path / "some/x.bin").write_bytes(BODY)  # brought by hand
    assert run([dead()], tmp_path, yes=False) == OK
    assert recorded(tmp_path)["some/x.bin"]["sha256"] == SHA


def test_some_files_that_cannot_be_had_leave_the_others(server, tmp_path, capsys):
    absent = server.file("absent")
    assert run([absent, dead(), server.file()], tmp_path) == FAILED
    out = capsys.readouterr().err
    assert "the server answers 404 Not Found" in out and "Connection refused" in out
    assert (tmp_path / "some/a.bin").exists()


def test_a_file_that_changed_is_reported_and_left_as_it_is(server, tmp_path, capsys):
    run([server.file()], tmp_path)
    path = tmp_path / "some/a.bin"
    path.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(InputError, match=f"expected {len(BODY)} bytes with {SHA}, as checksums.json says. Remove"):
        check(server.file(), None, tmp_path)
    server.log.clear()
    assert run([server.file()], tmp_path) == FAILED
    assert "as checksums.json says. Remove the file" in capsys.readouterr().err
    assert path.read_bytes() == BODY[:-1] + b"x" and server.gets() == []


def test_a_file_by_hand_of_another_size_than_the_server_s(server, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some/a.bin").write_bytes(b"half")
    with pytest.raises(InputError, match="found 4 bytes .*expected 3000000 bytes, as the server says"):
        check(server.file(), ask(server.file()), tmp_path)
    assert recorded(tmp_path) == {}


@pytest.mark.parametrize("answer, fetched", [("y", True), ("YES", True), ("", False), ("n", False), (None, False)])
def test_the_question(server, tmp_path, monkeypatch, answer, fetched):
    monkeypatch.setattr("sys.stdin", io.StringIO("" if answer is None else answer + "\n"))
    assert run([server.file()], tmp_path, yes=False) == (OK if fetched else FAILED)
    assert (tmp_path / "some/a.bin").exists() == fetched and bool(server.gets()) == fetched


def test_room_on_the_disk_is_checked_first(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    (tmp_path / "some").mkdir()
    (tmp_path / "some/a.bin.part").write_bytes(BODY[:1_000_000])  # of 3 MB, 2 are left to fetch
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1_999_999))
    with pytest.raises(InputError, match="found 2.0 MB free; expected 2.0 MB for what is left"):
        run([server.file()], tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2_000_000))
    assert run([server.file()], tmp_path) == OK


def test_a_record_that_cannot_be_understood(server, tmp_path):
    for text in ("{", "[]", '{"some/a.bin": {}}', '{"some/a.bin": 3}'):
        (tmp_path / "checksums.json").write_text(text)
        with pytest.raises(InputError, match=r"checksums\.json: found that it cannot be understood"):
            run([server.file()], tmp_path)


# --- the table and the command line ------------------------------------------------------------------------------

def test_the_files_of_each_kind():
    names = [f.path for f in download.files(["bridge"], 2)]
    assert names == [f"bridge_dataset/1.0.0/{n}" for n in (
        "dataset_info.json", "features.json", "bridge_dataset-train.tfrecord-00000-of-01024",
        "bridge_dataset-train.tfrecord-00001-of-01024")]
    everything = download.files(shards=1024)
    assert len({f.path for f in everything}) == len({f.url for f in everything}) == len(everything)
    assert all(f.url.startswith("https://") for f in everything)
    assert {f.hub for f in everything} == {"", "quentinll/lewm-cube", "facebook/sam3", "facebook/cotracker3",
                                           "depth-anything/Video-Depth-Anything-Small",
                                           "depth-anything/Depth-Anything-V2-Small-hf"}
    assert "lewm-cube/weights.pt" in [f.path for f in download.files(["base"])]
    for what, shards in (["bridge"], 0), (["bridge"], 1025), (["brigde"], 1):
        with pytest.raises(InputError):
            download.files(what, shards)


def test_the_command(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "BRIDGE", f"http://127.0.0.1:{server.port}/")
    options = ["download", "--to", str(tmp_path / "d"), "--what", "bridge", "--shards", "1", "--yes", "--json"]
    assert commands.main(options) == OK
    report = json.loads(capsys.readouterr().out)
    assert len(report["fetched"]) == 3 and report["there"] == [] and report["missing"] == {}
    assert len(list((tmp_path / "d/bridge_dataset/1.0.0").iterdir())) == 3
    assert len(json.loads((tmp_path / "d/checksums.json").read_text())) == 3
    assert commands.main(options) == OK and len(json.loads(capsys.readouterr().out)["there"]) == 3
    (tmp_path / "file").touch()
    for bad in ([*options, "--to", str(tmp_path / "file")], [*options, "--shards", "0"], [*options, "--what", "x"]):
        assert commands.main(bad) == BAD_USAGE
        assert "error: " in capsys.readouterr().err


def commit_to(folder: Path) -> str:
    """A repository with one file; returns its commit."""
    folder.mkdir()
    (folder / "model.py").write_text("x = 1\n")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def test_upstream_code_is_cloned_at_its_commit_once(tmp_path, capsys):
    commit = commit_to(tmp_path / "upstream")
    code = download.Code(str(tmp_path / "upstream"), "code", commit)
    assert download.clone(code, tmp_path / "to") and (tmp_path / "to/code/model.py").read_text() == "x = 1\n"
    (tmp_path / "upstream").rename(tmp_path / "gone")
    assert download.clone(code, tmp_path / "to")  # there already
    assert not download.clone(download.Code(code.url, "code", "0" * 40), tmp_path / "to")  # there at another commit
    assert not download.clone(download.Code(code.url, "other", commit), tmp_path / "to")
    said = capsys.readouterr().err
    assert f"it is at {commit[:10]}" in said and f"git clone {code.url}" in said
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["code"]


def test_files_lie_where_the_backends_look():
    from lewm_core.signals.backends import REGISTRIES, needs

    placed = {f.path.split("/")[0] for f in download.files(["extractors"])}
    wanted = [found for kind, table in REGISTRIES.items() for name in table if (found := needs(kind, name))]
    assert {found.weights for found in wanted} == placed
    assert {found.code for found in wanted if found.code} == {code.folder for code in download.CODE}
