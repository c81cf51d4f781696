"""Episodes for the Rerun viewer, read back by the SDK's own reader and compared with the dataset."""

import cv2
import numpy as np
import pytest

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint
from lewm_core.config import MODELS
from lewm_core.dataset.packets import packets
from lewm_core.diagnostics import forecasts
from lewm_core.model import LeWM
from lewm_core.runner import commands
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import extract
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.viz import rerun_file

SIZE = 32


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Four simulated episodes with all their signals."""
    path, source = tmp_path_factory.mktemp("data") / "dataset.h5", Tabletop(4, 3, SIZE)
    episodes = [source.load(info.id) for info in source.infos()]
    dataset.write(path, ((e, extract(e, SIMULATOR)) for e in episodes), source=source.name)
    return path


def export(capsys, *arguments: object) -> tuple[int, str]:
    code = commands.main(["export", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.err if code else said.out


class Recording:
    """What the SDK reads from a file: entity -> component -> frame -> value."""

    def __init__(self, path):
        chunk = pytest.importorskip("rerun.chunk", reason="rerun-sdk is not installed (the extra `rerun`)")
        self.found: dict = {}
        for part in chunk.RrdReader(path).stream():
            batch = part.to_record_batch()
            if rerun_file.TIMELINE not in batch.schema.names:
                continue
            times = batch.column(rerun_file.TIMELINE).to_pylist()
            for name in batch.schema.names:
                if ":" in name:
                    values = self.found.setdefault((str(part.entity_path).strip("/"), name.split(":")[-1]), {})
                    values.update({t: v for t, v in zip(times, batch.column(name).to_pylist(), strict=True) if v})

    def __call__(self, entity: str, component: str) -> dict:
        return dict(sorted(self.found[entity, component].items()))


def decoded(blob) -> np.ndarray:
    return cv2.imdecode(np.array(blob[0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_what_is_written_is_what_the_dataset_holds(file, tmp_path, capsys):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (the extra `rerun`)")
    path = tmp_path / "episodes.rrd"
    code, said = export(capsys, file, path)
    assert code == 0 and "4 episodes" in said and [p.name for p in tmp_path.iterdir()] == ["episodes.rrd"]
    data, read = dataset.load(file), Recording(path)
    n = len(data["pixels"])
    assert path.stat().st_size < 16_000 * n
    pictures = read("camera/image", "blob")
    assert list(pictures) == list(range(n))
    assert np.array_equal(np.stack([decoded(blob) for blob in pictures.values()]), data["pixels"])
    assert np.allclose(np.array(list(read("action", "scalars").values())), data["action"])
    assert np.allclose(np.array(list(read("observation", "scalars").values())), data["observation"])
    assert np.allclose(np.array(list(read("state/object", "scalars").values())), data["object"])
    assert np.allclose(np.array(list(read("state/gripper", "scalars").values())), data["gripper"])
    depth = np.stack([np.array(b[0], np.uint8).view(np.float16).reshape(56, 56)
                      for b in read("depth/image", "buffer").values()])
    assert np.allclose(depth, data["depth"], rtol=1e-3)
    mask = np.stack([np.array(b[0], np.uint8).reshape(SIZE, SIZE) for b in read("camera/mask", "buffer").values()])
    assert np.array_equal(mask, data["mask"])
    points = read("camera/tracks", "positions")
    first = packets(data, [data["episode_id"][0]])[data["episode_id"][0]][1]
    tracks, visible = (first.tracks_fg, first.visible_fg) if first.biased else (first.tracks, first.visible)
    for t in range(len(tracks)):
        assert np.allclose(np.array(points[t]), tracks[t, visible[t]] + 0.5, atol=1e-4)
    assert read("camera/tracks/trails", "strips"), "something moves"
    texts = read("episode", "text")
    assert list(texts) == data["ep_offset"].tolist()
    assert [text[0].split("\n") for text in texts.values()] == [list(pair) for pair in zip(data["episode_id"],
                                                                                           data["task"], strict=True)]


def test_a_source_and_what_a_checkpoint_predicts(file, tmp_path, capsys):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (the extra `rerun`)")
    assert export(capsys, "tabletop", tmp_path / "a.rrd", "--episodes", 1, "--image-size", SIZE)[0] == 0
    camera = Recording(tmp_path / "a.rrd")("camera", "image_from_camera")
    assert list(camera) == [0]
    checkpoint.save(tmp_path / "model.safetensors", LeWM(MODELS["nano"], 0))
    data = dataset.load(file)
    id = data["episode_id"][1]
    code, _ = export(capsys, file, tmp_path / "b.rrd", "--checkpoint", tmp_path / "model.safetensors", "--episode", id)
    assert code == 0
    read, world = Recording(tmp_path / "b.rrd"), forecasts.of_checkpoint(str(tmp_path / "model.safetensors"), data)
    found = forecasts.forecasts(world, data, [id])[id]
    distance = read("prediction/distance", "scalars")
    assert list(distance) == found.frame.tolist()
    assert np.allclose(np.array(list(distance.values())), np.c_[found.distance, found.persistence])
    assert np.allclose(np.array(list(read("prediction/object", "scalars").values())), found.places["object"])
    assert list(read("retrieved/image", "blob")) == found.frame.tolist()


def test_a_lerobot_folder(file, tmp_path, capsys):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (the extra `rerun`)")
    pytest.importorskip("av"), pytest.importorskip("pyarrow")
    assert export(capsys, file, tmp_path / "folder")[0] == 0
    assert export(capsys, tmp_path / "folder", tmp_path / "a.rrd", "--image-size", SIZE, "--episodes", 2)[0] == 0
    data, read = dataset.load(file, 2), Recording(tmp_path / "a.rrd")
    assert np.allclose(np.array(list(read("action", "scalars").values())), data["action"])
    assert len(read("camera/image", "blob")) == len(data["pixels"]) and ("depth/image", "buffer") not in read.found


@pytest.mark.parametrize("arguments, words", [
    (["FILE", "TMP/there.rrd"], "something there already"),
    (["FILE", "TMP/x.rrd", "--episode", "nobody"], "'nobody'"),
    (["TMP/none", "TMP/x.rrd"], "no such file or folder"),
    (["tabletop", "TMP/x.rrd"], "--episodes N"),
    (["tabletop", "TMP/x.rrd", "--episodes", "1", "--checkpoint", "y"], "a dataset (.h5)"),
    (["FILE", "TMP/x", "--episodes", "1"], ".rrd only"),
])
def test_bad_input_is_one_error_and_writes_nothing(file, tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.setattr(rerun_file, "need", lambda: None)  # these are said whether the SDK is there or not
    (tmp_path / "there.rrd").touch()
    code, said = export(capsys, *(a.replace("FILE", str(file)).replace("TMP", str(tmp_path)) for a in arguments))
    assert code == 2 and words in said and len(list(tmp_path.iterdir())) == 1


def test_without_the_sdk_one_error_says_what_to_install(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    code, said = export(capsys, file, tmp_path / "x.rrd")
    assert code == 2 and "rerun-sdk" in said and not list(tmp_path.iterdir())
