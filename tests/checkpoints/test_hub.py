"""From a name to files: folders, and a hub that is a small server on this machine, asked by a process of its own."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from lewm_core.checkpoints import config_json, hub, names
from lewm_core.config import MODELS
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789" * 4
ASK = """\
import sys
from lewm_core.checkpoints import hub
from lewm_core.utils.errors import InputError
assert "torch" not in sys.modules
try:
    files = hub.find(sys.argv[1])
    print(files.name, files.weights, files.config, sep="|")
except InputError as error:
    print("error:", error)
"""


START = """\
import sys
from lewm_core.experiments.base import of_checkpoint
base = of_checkpoint(sys.argv[1])
model, scale = base.load(0)
print(base.name, model.config.action_dim, base.config.action_dim, scale, sep="|")
"""


class Hub(BaseHTTPRequestHandler):
    """The two requests by which the hub serves a file: HEAD and GET of /OWNER/NAME/resolve/REVISION/FILE."""

    def __init__(self, repos: dict[str, dict[str, bytes]], asked: list[str], *args):
        self.repos, self.asked = repos, asked
        super().__init__(*args)

    def do_GET(self):  # noqa: N802
        self.asked.append(f"{self.command} {self.path}")
        owner, name, *rest = self.path.strip("/").split("/")
        if owner == "lies":
            try:
                return LIES[name][0](self)
            except OSError:  # the other side had enough
                return None
        repo = self.repos.get(f"{owner}/{name}")
        content = repo.get(rest[-1]) if repo and rest[:1] == ["resolve"] else None
        self.send_response(200 if content is not None else 404)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound" if repo else "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if content and self.command == "GET":
            self.wfile.write(content[: 3 if owner == "breaks" else None])

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


def lie(tag: str = '"' + "0" * 64 + '"', commit: str = COMMIT, body: bytes = b"{}", times: int = 1, **more: object):
    """An answer with these headers, and a body so many times."""
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302 if "Location" in more else 200)
        for header, value in {"ETag": tag, "X-Repo-Commit": commit, **more}.items():
            handler.send_header(header.replace("_", "-"), str(value))
        handler.end_headers()
        for _ in range(times if handler.command == "GET" else 0):
            handler.wfile.write(body)
    return answer


LIES = {
    "etag": (lie('"../../../../pwned"'), "an answer with etag"),
    "commit": (lie(commit="../../../../pwned"), "an answer with x-repo-commit"),
    "sum": (lie(), "another checksum than the hub says; it was removed"),
    "endless": (lie(body=bytes(10**5), times=10**9), "more than 1,000,000 bytes"),
    "size": (lie(X_Linked_Size=10**14), "too large"),
    "gzip": (lie(Content_Encoding="gzip"), "compressed with gzip"),
    "page": (lie(Content_Type="text/html"), "a web page instead of the file"),
    "file": (lie(Location="file:///etc/passwd"), "a redirection to file:/"),
    "loop": (lie(Location="/lies/loop/resolve/main/config.json"), "redirects"),
    "xet": (lie(X_Xet_Hash="0" * 64, X_Xet_Refresh_Route="http://127.0.0.1:9/"), "another checksum"),
}
ASK_ALL = """\
import sys, time
from lewm_core.checkpoints import hub
from lewm_core.utils.errors import InputError
for name in sys.argv[1].split(","):
    began = time.monotonic()
    try:
        print(hub.find("lies/" + name))
    except InputError as error:
        print("error", error if time.monotonic() - began < 60 else "after a long time")
"""


def whole_lewm(folder: Path) -> dict[str, bytes]:
    """A repository's two files: a tiny model of 25-D actions."""
    folder.mkdir()
    model = LeWM(replace(MODELS["nano"], action_dim=25))
    torch.save(names.public_state(model), folder / "weights.pt")
    return {"weights.pt": (folder / "weights.pt").read_bytes(),
            "config.json": json.dumps(config_json.public(model.config)).encode()}


@pytest.fixture
def served(tmp_path):
    """Asks for a checkpoint in a fresh process whose hub is this server: served.ask(name, **environment)."""
    repos = {"someone/lewm": {"config.json": b"{}", "weights.pt": b"weights"},
             "someone/both": {"config.json": b"{}", "weights.pt": b"weights", "model.safetensors": b"tensors"},
             "breaks/off": {"config.json": b"{}", "weights.pt": b"weights"},
             "someone/whole": whole_lewm(tmp_path / "made"),
             "someone/no-config": {"weights.pt": b"weights"}, "someone/no-weights": {"config.json": b"{}"}}
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, repos, asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    class Served:
        url, home, requests = f"http://127.0.0.1:{server.server_port}", tmp_path / "hf", asked

        def ask(self, name: str, script: str = ASK, **environment: str) -> str:
            clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
            env = clean | {"HF_ENDPOINT": self.url, "HF_HOME": str(self.home), "PYTHONPATH": str(ROOT)} | environment
            done = subprocess.run([sys.executable, "-c", script, name], env=env, cwd=tmp_path, capture_output=True,
                                  text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

    yield Served()
    server.shutdown(), server.server_close()


def test_a_repository_is_fetched_once_and_then_read_from_the_cache(served):
    name, weights, config = served.ask("someone/lewm").split("|")
    assert name == "someone/lewm" and Path(weights).read_bytes() == b"weights" and Path(config).read_bytes() == b"{}"
    assert Path(weights).parent == Path(config).parent and Path(weights).is_relative_to(served.home)
    served.requests.clear()
    assert served.ask("someone/lewm", HF_HUB_OFFLINE="1").split("|") == [name, weights, config]
    assert served.requests == []
    assert served.ask("someone/lewm").split("|") == [name, weights, config]
    again = [r for r in served.requests if r.startswith("GET /someone/lewm")]
    assert again == [], "a cached file is not fetched again"


@pytest.mark.slow
def test_a_base_from_the_hub_is_called_by_its_id(served):
    said = served.ask("someone/whole", START)
    assert said == "someone/whole (action encoder re-initialised, 25-D to 7-D actions)|7|25|None"


def test_safetensors_are_preferred(served):
    assert Path(served.ask("someone/both").split("|")[1]).read_bytes() == b"tensors"
    assert not [r for r in served.requests if "weights.pt" in r]


def test_offline_and_not_cached_says_what_to_fetch_and_where_to_put_it(served):
    said = served.ask("someone/lewm", HF_HUB_OFFLINE="1")
    assert served.requests == [] and said.startswith("error: hub repository someone/lewm: found no config.json")
    for file in ("config.json", "weights.pt"):
        assert f"{served.url}/someone/lewm/resolve/main/{file}" in said
    assert "HF_HUB_OFFLINE is set" in said and "into one folder here and name that folder" in said


def test_half_a_repository_in_the_cache_is_not_enough(served):
    weights = served.ask("someone/lewm").split("|")[1]
    os.unlink(weights)
    said = served.ask("someone/lewm", HF_HUB_OFFLINE="1")
    assert said.startswith("error:") and "found no weights.pt in the cache" in said


@pytest.mark.slow
def test_a_download_that_breaks_off_is_one_error_and_leaves_no_weights(served):
    said = served.ask("breaks/off")
    assert said.startswith("error:") and "no weights.pt (" in said and "Fetch http" in said
    assert not list(served.home.rglob("weights.pt"))


@pytest.mark.parametrize("name, sentence", [
    ("someone/nothing", "no such repository on http://127.0.0.1"), ("someone/no-config", "no config.json"),
    ("someone/no-weights", "neither model.safetensors nor weights.pt"), ("not/an/id", "no such file or folder"),
    ("folder/weights.pt", "no such file or folder"),
])
def test_what_is_not_there_is_one_error(served, name, sentence):
    said = served.ask(name)
    assert said.startswith("error:") and sentence in said


def test_a_hub_that_lies_gets_one_error_each_and_nothing_is_kept(served):
    said = served.ask(",".join(LIES), ASK_ALL).splitlines()
    assert len(said) == len(LIES), said
    for line, (name, (_, sentence)) in zip(said, LIES.items(), strict=True):
        assert line.startswith(f"error hub repository lies/{name}: found no config.json (") and sentence in line, line
    kept = [p for p in served.home.rglob("*") if p.is_file() and {"blobs", "snapshots"} & {*p.parts}]
    assert not kept and not list(served.home.parent.rglob("*pwned*"))


# --- files and folders


@pytest.fixture
def folder(tmp_path):
    def make(*names: str) -> Path:
        path = tmp_path / "my-lewm"
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"")
        return path

    return make


def test_a_folder_or_its_file(folder):
    path = folder("config.json", "weights.pt", "heads.safetensors", "README.md")
    expected = hub.Files("my-lewm", path / "weights.pt", path / "config.json")
    assert hub.find(path) == hub.find(path / "weights.pt") == hub.find(str(path)) == expected
    (path / "model.safetensors").write_bytes(b"")
    assert hub.find(path).weights == path / "model.safetensors"
    (path / "config.json").unlink()
    assert hub.find(path).config is None
    (path / "epoch_3.pt").write_bytes(b"")
    assert hub.find(path / "epoch_3.pt").name == "epoch_3"


@pytest.mark.parametrize("names, sentence", [
    (("config.json", "a.pt", "b.pt"), "several weights: a.pt, b.pt"), (("config.json",), "no weights in it"),
    (("a.pt", "b.pt", "model.safetensors"), "several weights: a.pt, b.pt"),
])
def test_folders_that_are_not_clear(folder, names, sentence):
    path = folder(*names)
    with pytest.raises(InputError, match=sentence):
        hub.find(path)
    with pytest.raises(InputError, match="one of .safetensors, .pt, .ckpt"):
        (path / "weights.h5").write_text(json.dumps({}))
        hub.find(path / "weights.h5")
