"""Backends with weights: the whole path from a folder of files to a signal, with random or tiny weights.

SAM 3 and Depth Anything V2 are transformers' own classes, shrunken. Upstream code of the other two is not part of this
project: in its place stand tiny modules with exactly its interface, whose answers can be said in advance.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from lewm_core.signals import backends, extraction, pipeline, sam3
from lewm_core.signals import weights as upstream
from lewm_core.signals.backends import CLASSICAL, PAPER, SIMULATOR, Backends
from lewm_core.signals.cotracker3 import CoTracker3
from lewm_core.signals.depth_anything_v2 import aligned
from lewm_core.signals.geometry import relative_depth
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.signals.video_depth_anything import VideoDepthAnything
from lewm_core.signals.weights import Settings
from lewm_core.sources.episode import Episode
from lewm_core.utils import torchvision_compat
from lewm_core.utils.errors import InputError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

VIDEO_DEPTH = '''
import numpy as np
import torch
from utils.util import compute_scale_and_shift  # upstream has a module of this name beside its package


class VideoDepthAnything(torch.nn.Module):
    """Inverse depth: brightness times a weight, plus one per frame."""

    def __init__(self, encoder="vitl", features=256, out_channels=[256, 512, 1024, 1024], use_bn=False,
                 use_clstoken=False, num_frames=32, pe="ape", metric=False):
        super().__init__()
        assert (encoder, features, out_channels) == ("vits", 64, [48, 96, 192, 384])
        self.gain = torch.nn.Parameter(torch.zeros(()))

    def infer_video_depth(self, frames, target_fps, input_size=518, device="cuda", fp32=False):
        assert frames.dtype == np.uint8 and frames.ndim == 4 and input_size == 518 and fp32 == (device == "cpu")
        depths = [frames[t].mean(-1) / 255 * self.gain.item() + t for t in range(frames.shape[0])]
        return np.stack(depths, axis=0), target_fps
'''
COTRACKER = '''
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.unit = torch.nn.Parameter(torch.zeros(()))


class CoTrackerPredictor(torch.nn.Module):
    """A clip's red level says how far everything has moved, its green level whether it is seen."""

    longest = 0

    def __init__(self, checkpoint="./checkpoints/scaled_offline.pth", offline=True, v2=False, window_len=60):
        super().__init__()
        assert checkpoint is None and offline and not v2 and window_len == 60
        self.model = Model()

    @torch.no_grad()
    def forward(self, video, queries=None, segm_mask=None, grid_size=0, grid_query_frame=0, backward_tracking=False):
        assert video.dtype == torch.float32 and video.shape[:1] + video.shape[2:3] == (1, 3) and video.max() > 1
        type(self).longest = max(self.longest, video.shape[1])
        moved = video[0, :, 0].mean((1, 2)) * self.model.unit
        times = queries[0, :, 0].long()
        assert (times >= 0).all() and (times < video.shape[1]).all()
        tracks = queries[0, None, :, 1:] + (moved[:, None] - moved[times])[..., None]
        visible = (video[0, :, 1].mean((1, 2)) > 100)[:, None].repeat(1, queries.shape[1])
        return tracks[None], visible[None]
'''


@pytest.fixture(autouse=True)
def without_others(monkeypatch):
    """The stand-in for Video-Depth-Anything does not import what upstream does."""
    monkeypatch.setattr(VideoDepthAnything, "needs", dataclasses.replace(VideoDepthAnything.needs, others=()))


def clip(frames: np.ndarray, **more) -> Episode:
    n = len(frames)
    return Episode("clip", frames, np.zeros((n, 7), np.float32), np.zeros((n, 7), np.float32), "pick up x", **more)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder as `python -m lewm_core download` fills it, of tiny stand-ins."""
    folder = tmp_path_factory.mktemp("weights")
    for file, text in {
        "Video-Depth-Anything/video_depth_anything/video_depth.py": VIDEO_DEPTH,
        "Video-Depth-Anything/utils/util.py": "def compute_scale_and_shift(): pass",
        "co-tracker/cotracker/__init__.py": "", "co-tracker/cotracker/predictor.py": COTRACKER,
    }.items():  # fmt: skip
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    torch.save({"gain": torch.tensor(2.0)}, folder / "video_depth_anything_vits.pth")
    torch.save({"unit": torch.tensor(0.25)}, folder / "scaled_offline.pth")
    save_depth_anything(folder / "Depth-Anything-V2-Small-hf")
    return folder


def save_depth_anything(folder: Path) -> None:
    torchvision_compat.ensure()
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, DPTImageProcessor

    torch.manual_seed(0)
    backbone = {
        "model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28,
        "patch_size": 14, "out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False,
        "apply_layernorm": True,
    }  # fmt: skip
    config = DepthAnythingConfig(backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 8, 8],
                                 fusion_hidden_size=8, head_hidden_size=4)  # fmt: skip
    model = DepthAnythingForDepthEstimation(config)
    torch.nn.init.constant_(model.head.conv3.bias, 1.0)  # away from where the last ReLU gives nothing but zeros
    model.save_pretrained(folder)
    DPTImageProcessor(size={"height": 28, "width": 28}, ensure_multiple_of=14, keep_aspect_ratio=True, do_pad=False,
                      image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]).save_pretrained(folder)


def save_sam3(folder: Path) -> None:
    """Sam3Video with random weights in every part; its thresholds let everything that it 'finds' pass."""
    torchvision_compat.ensure()
    from transformers import (
        CLIPTokenizer,
        Sam2VideoVideoProcessor,
        Sam3ImageProcessor,
        Sam3VideoConfig,
        Sam3VideoModel,
        Sam3VideoProcessor,
    )

    torch.manual_seed(0)
    width, size, patches = 128, 28, 2  # the tracker's memory has 64 channels in any configuration
    small = {"hidden_size": width, "num_attention_heads": 2, "intermediate_size": 16, "num_layers": 1}
    sizes = [[n * patches, n * patches] for n in (4, 2, 1)]
    vit = {"model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
           "num_attention_heads": 2, "image_size": size, "pretrain_image_size": size, "patch_size": 14,
           "window_size": 2, "global_attn_indexes": [0]}  # fmt: skip
    vision = {"model_type": "sam3_vision_model", "backbone_config": vit, "fpn_hidden_size": width,
              "backbone_feature_sizes": sizes}  # fmt: skip
    text = {"model_type": "clip_text_model", "vocab_size": 190, "hidden_size": 16, "intermediate_size": 16,
            "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32,
            "bos_token_id": 188, "eos_token_id": 189}  # fmt: skip
    detector = {"model_type": "sam3", "vision_config": vision, "text_config": text, "geometry_encoder_config": small,
                "detr_encoder_config": small, "detr_decoder_config": {**small, "num_queries": 4},
                "mask_decoder_config": {"hidden_size": width, "num_attention_heads": 2}}  # fmt: skip
    tracker = {
        "model_type": "sam3_tracker_video", "vision_config": vision, "image_size": size,
        "prompt_encoder_config": {"hidden_size": width, "image_size": size, "patch_size": 14},
        "mask_decoder_config": {"hidden_size": width, "mlp_dim": 16, "num_attention_heads": 2,
                                "iou_head_hidden_dim": 16},
        "memory_attention_hidden_size": width, "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 16, "memory_attention_rope_feat_sizes": [patches, patches],
        "memory_encoder_hidden_size": width, "memory_encoder_output_channels": 64, "mask_downsampler_embed_dim": width,
        "memory_fuser_embed_dim": width, "memory_fuser_intermediate_dim": 16, "memory_fuser_num_layers": 1,
    }  # fmt: skip
    config = Sam3VideoConfig(detector_config=detector, tracker_config=tracker, low_res_mask_size=4 * patches,
                             score_threshold_detection=0.0, new_det_thresh=0.0, max_num_objects=2,
                             hotstart_delay=3, hotstart_unmatch_thresh=3,
                             hotstart_dup_thresh=3)  # fmt: skip
    Sam3VideoModel(config).save_pretrained(folder)
    letters = [chr(33 + i) for i in range(94)]
    vocabulary = {token: i for i, token in enumerate([*letters, *(f"{c}</w>" for c in letters)])}
    tokenizer = CLIPTokenizer(vocab={**vocabulary, "<|startoftext|>": 188, "<|endoftext|>": 189}, merges=[])
    square = {"height": size, "width": size}
    processors = Sam3ImageProcessor(size=square), Sam2VideoVideoProcessor(size=square)
    Sam3VideoProcessor(*processors, tokenizer).save_pretrained(folder)


@pytest.fixture(scope="module")
def settings(weights) -> Settings:
    return Settings(str(weights), device="cpu")


# --- Video-Depth-Anything -----------------------------------------------------------------------------------------


def test_video_depth_is_turned_over_and_keeps_the_order_of_time(settings):
    frames = np.zeros((5, 20, 24, 3), np.uint8)
    frames[:, :, 12:] = 255  # the right half is nearer
    s = extraction.extract(clip(frames), Backends("video-depth-anything", None, None), settings=settings)
    inverse = np.arange(5)[:, None] + np.array([0.0, 2.0])  # gain 2 is in the weights file
    expected = (inverse.max() - inverse) / inverse.max()
    np.testing.assert_allclose(s.depth[:, 28, [5, 50]], expected, atol=1e-6)
    assert s.depth.min() == 0 and s.depth.max() == 1 and s.made_by["depth"] == "video-depth-anything"
    assert not [name for name in sys.modules if name.partition(".")[0] == "utils"]
    assert str(settings.folder) not in " ".join(sys.path)


def test_relative_depth_places_nothing_in_space(settings):
    frames = np.random.default_rng(0).integers(0, 255, (3, 20, 24, 3)).astype(np.uint8)
    chosen = dataclasses.replace(CLASSICAL, depth="video-depth-anything")
    s = extraction.extract(clip(frames, intrinsics=np.eye(3)), chosen, settings=settings)
    assert s.shape is None and "without unit" in s.missing["shape"] and s.depth is not None


def test_relative_depth_of_a_flat_clip_is_finite():
    assert not relative_depth(np.full((2, 3, 3), 7.0)).any()
    turned = relative_depth(np.array([[[1.0, 3.0]], [[2.0, 5.0]]]))
    np.testing.assert_allclose(turned, [[[1, 0.5]], [[0.75, 0]]])


# --- CoTracker3 ---------------------------------------------------------------------------------------------------


def red_green(moved: np.ndarray, seen: np.ndarray) -> np.ndarray:
    frames = np.zeros((len(moved), 16, 20, 3), np.uint8)
    frames[..., 0], frames[..., 1] = moved[:, None, None], np.where(seen, 200, 0)[:, None, None]
    return frames


@pytest.mark.parametrize("length", [1, 2, 60, 61, 200])
def test_tracks_go_on_from_piece_to_piece(settings, length):
    moved = np.random.default_rng(length).integers(1, 250, length)
    seen = np.random.default_rng(length).random(length) > 0.4
    seen[100:140] = False  # as long as nothing is seen, the next piece starts from where the point was taken to be
    tracker = backends.load("tracks", "cotracker3", settings)
    type(tracker.predictor).longest = 0
    queries = extraction.grid_queries(16, 20)
    tracks, visible = tracker(clip(red_green(moved, seen)), queries)
    expected = queries + 0.25 * (moved - moved[0])[:, None, None]
    np.testing.assert_allclose(tracks, expected, atol=1e-3)
    np.testing.assert_array_equal(visible, np.repeat(seen[:, None], 400, 1))
    assert type(tracker.predictor).longest == min(length, 60)


# --- Depth Anything V2 --------------------------------------------------------------------------------------------


def test_depth_anything_of_200_frames_in_batches(settings, monkeypatch):
    model = backends.load("depth", "depth-anything-v2", settings)
    shapes = []
    model.model.register_forward_pre_hook(lambda module, inputs: shapes.append(tuple(inputs[0].shape)))
    frames = np.random.default_rng(0).integers(0, 255, (200, 24, 24, 3)).astype(np.uint8)
    depth = model(clip(frames))
    assert depth.shape == (200, 24, 24) and depth.dtype == np.float32 and depth.min() == 0 and depth.max() == 1
    assert set(shapes) == {(8, 3, 28, 28)} and len(shapes) == 25
    alone = model._inverse(frames[150:151])
    together = np.concatenate([model._inverse(frames[t : t + 8]) for t in range(144, 160, 8)])
    np.testing.assert_allclose(together[6], alone[0], atol=1e-4)  # each frame at its own place
    assert together.std() > 0


def test_alignment_recovers_planted_scales_and_shifts():
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 255, (1, 40, 40, 3)), 12, 0).astype(np.uint8)
    truth = np.repeat(rng.uniform(1, 5, (1, 40, 40)), 12, 0).astype(np.float32)
    for t in range(1, 12):  # an object moves over the scene, nearer than all else
        frames[t, 10:22, 2 * t : 2 * t + 12] = 255 - frames[0, 10:22, 2 * t : 2 * t + 12]
        truth[t, 10:22, 2 * t : 2 * t + 12] = 9
    scale, shift = rng.uniform(0.5, 2, (12, 1, 1)), rng.uniform(-3, 3, (12, 1, 1))
    scale[0], shift[0] = 1, 0
    np.testing.assert_allclose(aligned((truth - shift) / scale, frames), truth, atol=1e-3)
    turned = aligned(np.stack([truth[0], -truth[0]]), frames[:2])
    assert np.corrcoef(turned[1].ravel(), truth[0].ravel())[0, 1] < 0  # a wrong sign is not hidden by the fit
    assert np.isfinite(aligned(np.ones((3, 40, 40)), frames[:3])).all()


# --- SAM 3 --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def segmenter(weights, settings):
    save_sam3(weights / "sam3")
    return backends.load("mask", "sam3", settings)


def test_sam3_masks_whole_path(segmenter, settings):
    frames = np.random.default_rng(0).integers(0, 255, (7, 20, 24, 3)).astype(np.uint8)
    masks, scores = segmenter.objects(clip(frames))
    assert masks and all(mask.shape == (7, 20, 24) and mask.dtype == bool for mask in masks.values())
    assert all(((score >= 0) & (score <= 1)).all() for score in scores.values())
    s = extraction.extract(clip(frames), Backends(None, None, "sam3"), settings=settings)
    assert any((s.mask == mask).all() for mask in masks.values()) and s.mask.any()


def test_sam3_forgets_old_frames_without_changing_its_answer(segmenter, monkeypatch):
    from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession as Session

    frames = np.random.default_rng(1).integers(0, 255, (24, 20, 24, 3)).astype(np.uint8)
    kept = []
    store = Session.store_output

    def counted(session, *args, **more):
        store(session, *args, **more)
        kept.append(max(len(outputs["non_cond_frame_outputs"]) for outputs in session.output_dict_per_obj.values()))

    monkeypatch.setattr(Session, "store_output", counted)
    answers = []
    for memory in (1000, 16):
        kept.clear()
        monkeypatch.setattr(sam3, "MEMORY", memory)
        answers.append((segmenter.objects(clip(frames)), max(kept)))
    (all_masks, _), most = answers[0]
    (masks, _), fewest = answers[1]
    assert all_masks.keys() == masks.keys() and all((all_masks[id] == masks[id]).all() for id in masks)
    assert fewest <= 16 + segmenter.model.hotstart_delay + 1 < most


def blob(path: np.ndarray, shape=(6, 40, 40), side=6) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for t, (x, y) in enumerate(path):
        if x >= 0:
            mask[t, y : y + side, x : x + side] = True
    return mask


def test_one_object_is_kept_by_score_and_motion():
    still = blob([(5, 5)] * 6)
    moves = blob([(10, 20), (10, 20), (12, 20), (15, 20), (20, 18), (24, 16)])
    brief = blob([(-1, 0)] * 4 + [(0, 0), (20, 20)])
    full, half = np.full(6, 0.95), np.full(6, 0.5)
    shape = still.shape
    pick = sam3.one_object
    assert (pick({3: still, 7: moves}, {3: full, 7: half}, shape) == moves).all()  # motion before score
    seen = np.where(brief.any((1, 2)), 0.99, 0.0)
    assert (pick({1: brief, 7: moves}, {1: seen, 7: half}, shape) == moves).all()  # sure, but hardly ever there
    assert (pick({1: still, 2: blob([(30, 30)] * 6)}, {1: full, 2: half}, shape) == still).all()  # nothing moves
    assert (pick({4: moves, 2: moves[::-1]}, {4: half, 2: half}, shape) == moves[::-1]).all()
    assert not pick({}, {}, shape).any() and pick({}, {}, shape).shape == shape


# --- what is missing, and what decides ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind, name, others", [
    ("depth", "video-depth-anything", ""), ("tracks", "cotracker3", ", classical"),
    ("mask", "sam3", ", classical"), ("depth", "depth-anything-v2", ""),
])  # fmt: skip
def test_missing_weights_are_explained(tmp_path, kind, name, others):
    others = "simulator (simulated episodes only)" + others
    monkeyed = {"depth": None, "tracks": None, "mask": None, kind: name}
    episode = clip(np.zeros((2, 8, 8, 3), np.uint8))
    for folder in ("", str(tmp_path)):
        with pytest.raises(InputError) as caught:
            extraction.extract(episode, Backends(**monkeyed), settings=Settings(folder))
        assert f"{kind} backend {name}" in str(caught.value) and f"can run here: {others}." in str(caught.value)
        assert "lewm_core download --what extractors" in str(caught.value)


def test_code_may_be_missing_or_broken(weights, tmp_path):
    (tmp_path / "scaled_offline.pth").write_bytes((weights / "scaled_offline.pth").read_bytes())
    assert "co-tracker" in upstream.lacking(CoTracker3.needs, Settings(str(tmp_path)))
    broken = tmp_path / "Video-Depth-Anything/video_depth_2.py"
    broken.parent.mkdir()
    broken.write_text("import a_package_that_is_not_there")
    with pytest.raises(InputError, match="a_package_that_is_not_there"):
        upstream.load_code(VideoDepthAnything.needs, "video_depth_2", Settings(str(tmp_path)))


@pytest.mark.parametrize("content", [b"not weights", None])
def test_other_weights_are_an_error(weights, tmp_path, content):
    for part in ("co-tracker", "Depth-Anything-V2-Small-hf"):
        (tmp_path / part).symlink_to(weights / part)
    file = tmp_path / "scaled_offline.pth"
    file.write_bytes(content) if content else torch.save({"another": torch.zeros(3)}, file)
    with pytest.raises(InputError, match="scaled_offline.pth"):
        backends.load("tracks", "cotracker3", Settings(str(tmp_path), "cpu"))
    (tmp_path / "sam3").mkdir()
    with pytest.raises(InputError, match="sam3"):
        backends.load("mask", "sam3", Settings(str(tmp_path), "cpu"))


def test_the_papers_backends_where_they_can_run_and_never_in_silence(settings, monkeypatch):
    chosen, why = backends.choose(PAPER, {}, Settings())
    assert chosen == CLASSICAL and all("no folder of weights" in reason for reason in why.values())
    monkeypatch.setattr(upstream, "lacking", lambda needs, _: "no sam3" if needs.weights == "sam3" else None)
    chosen, why = backends.choose(PAPER, {"depth": "depth-anything-v2"}, settings)
    assert chosen == Backends("depth-anything-v2", "cotracker3", "classical")
    assert "by name" in why["depth"] and "no sam3" in why["mask"]
    assert backends.choose(PAPER, {}, Settings(), required=True)[0] == PAPER
    assert backends.choose(SIMULATOR, {}, Settings(), required=True)[0] == SIMULATOR


def test_a_spec_resolves_its_backends(settings, weights, tmp_path):
    spec = SourceSpec("tabletop", 2, 0, 16, tracks_backend="cotracker3", weights=str(weights))
    assert spec.backends == dataclasses.replace(SIMULATOR, tracks="cotracker3")
    assert SourceSpec("bridge", 2, 0, 16, "anywhere").backends == CLASSICAL
    assert str(weights) not in str(spec.public()) and spec.public()["tracks_backend"] == "cotracker3"
    with pytest.raises(InputError, match="simulator, classical, cotracker3"):
        SourceSpec("tabletop", 2, 0, 16, tracks_backend="cotracker9")
    strict = SourceSpec("bridge", 2, 0, 16, "anywhere", paper_backends=True)
    assert strict.backends == PAPER
    with pytest.raises(InputError, match="no folder of weights"):
        list(packets(strict, ["one"], tmp_path))


def test_one_process_does_the_work_of_a_gpu(weights, tmp_path, monkeypatch):
    spec = SourceSpec("tabletop", 2, 3, 16, depth_backend="depth-anything-v2", weights=str(weights))
    ids = [info.id for info in spec.open().infos()]
    monkeypatch.setattr(pipeline, "on_gpu", lambda *args: True)  # then nothing is sent to other processes
    monkeypatch.setattr(pipeline, "Pool", lambda *args: pytest.fail("a pool of processes"))
    made = [s for _, s in packets(spec, ids, tmp_path, jobs=2)]
    assert [s.made_by["depth"] for s in made] == ["depth-anything-v2"] * 2 and made[0].shape is None


def test_the_cache_knows_weights_and_precision(weights, tmp_path, monkeypatch):
    for part in ("co-tracker", "scaled_offline.pth"):
        (tmp_path / part).symlink_to(weights / part)
    cache, chosen = tmp_path / "cache", Backends(None, "cotracker3", None)
    episode = clip(red_green(np.arange(1, 4), np.ones(3, bool)))
    here = Settings(str(tmp_path), "cpu")
    first = extraction.extract_once(episode, chosen, cache, "source", here)
    (entry,) = cache.iterdir()
    monkeypatch.setattr(upstream, "load_state", lambda path: pytest.fail("a hit loads no weights"))
    backends._loaded.cache_clear()
    extraction.extract_once(episode, chosen, cache, "source", here)
    elsewhere = dataclasses.replace(here, weights=str(weights))
    assert upstream.fingerprint(CoTracker3.needs, elsewhere) == upstream.fingerprint(CoTracker3.needs, here)
    on_gpu = dataclasses.replace(here, device="cuda")
    assert upstream.fingerprint(CoTracker3.needs, on_gpu) != upstream.fingerprint(CoTracker3.needs, here)
    monkeypatch.undo()
    upstream.fingerprint.cache_clear()
    (tmp_path / "scaled_offline.pth").unlink()
    torch.save({"unit": torch.tensor(1.0)}, tmp_path / "scaled_offline.pth")
    other = extraction.extract_once(episode, chosen, cache, "source", here)
    assert len(list(cache.iterdir())) == 2 and not np.array_equal(first.tracks, other.tracks)


# --- upstream itself, where it is installed -----------------------------------------------------------------------


def test_upstreams_cotracker_if_installed(tmp_path):
    predictor = pytest.importorskip("cotracker.predictor", reason="upstream's cotracker is not installed")
    torch.manual_seed(0)
    model = predictor.CoTrackerPredictor(checkpoint=None, offline=True, v2=False, window_len=60).model
    torch.save(model.state_dict(), tmp_path / "scaled_offline.pth")
    tracker = backends.load("tracks", "cotracker3", Settings(str(tmp_path), "cpu"))
    queries = np.array([[3.0, 4.0], [20.5, 11.0]], np.float32)
    tracks, visible = tracker(clip(np.random.default_rng(0).integers(0, 255, (3, 24, 32, 3)).astype(np.uint8)), queries)
    np.testing.assert_allclose(tracks[0], queries, atol=1e-4)
    assert tracks.shape == (3, 2, 2) and np.isfinite(tracks).all() and visible.shape == (3, 2) and visible[0].all()
