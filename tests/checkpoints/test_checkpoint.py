"""Checkpoints: the mapping to public names and back, files, and what is refused. Base checkpoints on top of them."""


import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lewm_core.checkpoints import checkpoint, names, weights_file
from lewm_core.config import MODELS
from lewm_core.experiments import base
from lewm_core.model import LeWM
from lewm_core.utils.errors import InputError

NANO = MODELS["nano"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    checkpoint.save(path, LeWM(NANO, 3), action_scale={"mean": [0.5], "std": [2.0]}, note="é")
    return path


def test_public_names_and_back():
    state = LeWM(NANO, 0).state_dict()
    public = names.to_public(state)
    back = names.from_public(public)
    assert back.keys() == state.keys() and all(torch.equal(back[n], state[n]) for n in state)
    assert not any("qkv" in n or "blocks" in n for n in public if n.startswith("encoder."))
    # each layer's joined q, k, v tensor (weight and bias) becomes three
    assert len(public) == len(state) + 2 * 2 * NANO.encoder_depth
    q, k, v = (public[f"encoder.layers.1.attention.{p}_proj.weight"] for p in "qkv")
    assert torch.equal(torch.cat([q, k, v]), state["encoder.blocks.1.attn.qkv.weight"])


def test_a_file_holds_weights_config_and_metadata(saved):
    model, metadata = checkpoint.load(saved)
    want = LeWM(NANO, 3).state_dict()
    assert model.config == NANO and not model.training
    assert all(torch.equal(v, want[n]) for n, v in model.state_dict().items())
    assert metadata == {"action_scale": {"mean": [0.5], "std": [2.0]}, "note": "é"}
    assert load_file(saved).keys() == names.to_public(want).keys()


def test_the_same_weights_are_the_same_bytes(saved, tmp_path):
    for i in range(8):  # once is luck: an unordered header comes out right half of the time
        again = tmp_path / f"{i}.safetensors"
        checkpoint.save(again, LeWM(NANO, 3), action_scale={"mean": [0.5], "std": [2.0]}, note="é")
        assert again.read_bytes() == saved.read_bytes()


def rewrite(saved, path, change):
    """A copy of the file with `change(state, header)` done to it, and the checksum that belongs to it."""
    state, header = load_file(saved), {"config": NANO.sizes(), "metadata": {}}
    change(state, header)
    weights_file.write(path, state, **header)
    return path


def nan(state, header):
    state["projector.net.0.weight"][1, 2] = float("nan")


def rename(state, header):
    state["stranger.weight"] = state.pop("predictor.pos_embedding")


def reshape(state, header):
    state["pred_proj.net.0.weight"] = state["pred_proj.net.0.weight"][:, :-1].contiguous()


def no_query(state, header):
    del state["encoder.layers.0.attention.q_proj.weight"]


def no_config(state, header):
    header.clear()


def alien_config(state, header):
    header["config"] = {"colour": "red"}


def huge_config(state, header):
    header["config"] |= {"encoder_depth": 10**5, "dim": 10**9, "encoder_heads": "two", "dropout": float("nan")}


def bad_scale(state, header):
    header["metadata"] = {"action_scale": {"mean": [0.0], "std": [0.0]}}


def bad_records(state, header):
    header["metadata"] = {"condition": ["A"], "seed": "3", "episodes": [1], "metrics": {"episode": 3}}


@pytest.mark.parametrize("change, sentences", [
    (nan, ["projector.net.0.weight has values that are not finite"]),
    (rename, ["missing predictor.pos_embedding", "unexpected stranger.weight"]),
    (reshape, ["pred_proj.net.0.weight (64, 31) instead of (64, 32)"]),
    (no_query, ["encoder.blocks.0.attn.qkv.weight has only k, v"]),
    (no_config, ["no LeWM config"]), (alien_config, ["describes no model", "colour"]),
    (huge_config, ["encoder_depth 100000", "dim 1000000000", "encoder_heads 'two'", "dropout nan", "at most 200"]),
    (bad_scale, ["no action scale"]),
    (bad_records, ["condition ['A']", "seed '3'", "episodes [1]", "metrics {'episode': 3}"]),
], ids=lambda v: getattr(v, "__name__", ""))
def test_bad_weights_are_one_error_that_names_the_file(saved, tmp_path, change, sentences):
    path = rewrite(saved, tmp_path / "bad.safetensors", change)
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert all(s in str(error.value) for s in [str(path), *sentences])


def test_damaged_files_are_one_error_that_names_the_file(saved, tmp_path):
    whole = saved.read_bytes()
    for name, content in (("cut", whole[:-100]), ("head", whole[:20]), ("empty", b""), ("text", b"hello" * 50)):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match=str(path)):
            checkpoint.load(path)
    with pytest.raises(InputError, match="absent"):
        checkpoint.load(tmp_path / "absent.safetensors")


def test_all_problems_of_a_state_are_listed(saved):
    state = load_file(saved)
    for change in (nan, rename, reshape):
        change(state, {})
    with pytest.raises(InputError) as error:
        checkpoint.check_public(NANO, names.from_public(state))
    assert len(error.value.found.split("; ")) == 4


def test_a_failing_save_spares_the_old_file(saved, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved.read_bytes())
    with pytest.raises(TypeError):
        checkpoint.save(path, LeWM(NANO, 0), note=object())
    assert path.read_bytes() == saved.read_bytes() and list(tmp_path.iterdir()) == [path]


# --- bases


@pytest.fixture
def trained(monkeypatch):
    """Stands in for the pretraining, which takes long: fresh weights, and a list of what was asked for."""
    asked = []

    def pretrain(model, path):
        asked.append(path)
        checkpoint.save(path, LeWM(MODELS[model], len(asked)), recipe_digest=base.recipe_digest(model),
                        action_scale={"mean": [0.0] * 7, "std": [2.0] * 7})

    monkeypatch.setattr(base, "pretrain", pretrain)
    monkeypatch.setattr(base, "recipe_digest", lambda model: f"recipe of {model}")
    return asked


def test_a_base_is_trained_once_and_again_when_its_recipe_changes(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "SHIPPED", tmp_path / "nothing shipped")
    first = base.resolve("tabletop", "nano", tmp_path)
    assert base.resolve("tabletop", "nano", tmp_path) == base.resolve("retrain", "nano", tmp_path) == first
    assert len(trained) == 1 and first.path.parent == tmp_path
    model, scale = first.load(seed=5)
    assert scale((2 * torch.ones(1, 7)).numpy()).tolist() == [[1.0] * 7] and model.config == NANO
    monkeypatch.setattr(base, "recipe_digest", lambda model: "another recipe")
    second = base.resolve("tabletop", "nano", tmp_path)
    assert second.hash != first.hash and len(trained) == 2
    second.path.write_bytes(second.path.read_bytes()[:-1])  # damaged
    assert base.resolve("tabletop", "nano", tmp_path).hash != second.hash and len(trained) == 3


def test_the_shipped_base_is_used_unless_it_is_to_be_retrained(trained, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "SHIPPED", tmp_path)
    shipped = tmp_path / "nano.safetensors"
    shipped.write_bytes(saved.read_bytes())
    assert base.resolve("tabletop", "nano", tmp_path / "cache").path == shipped and not trained
    again = base.resolve("retrain", "nano", tmp_path / "cache")
    assert again.path.parent == tmp_path / "cache" and trained == [again.path]
    assert shipped.read_bytes() == saved.read_bytes()


def test_other_bases(saved, tmp_path):
    own = base.resolve(str(saved), "nano", tmp_path)
    assert (own.name, own.path, own.config) == (saved.parent.name, saved, NANO), "'model' says nothing, its folder does"
    random = base.resolve("random", "nano", tmp_path)
    states = [random.load(seed)[0].state_dict()["predictor.pos_embedding"] for seed in (0, 0, 1)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])
    assert random.load(0)[1] is None and random.hash != base.resolve("random", "small", tmp_path).hash
    for name, model in (("nonsense", "nano"), ("tabletop", "huge")):
        with pytest.raises(InputError, match="one of .*(tabletop|nano)"):
            base.resolve(name, model, tmp_path)


def test_play_rendered_on_all_cores_is_what_one_core_renders(monkeypatch):
    alone = list(base._packets("nano"))
    monkeypatch.setattr(base, "WORTH_A_PROCESS", 2)
    monkeypatch.setattr(base, "usable_cores", lambda: 2)
    together = list(base._packets("nano"))
    assert [episode.id for episode, _ in together] == [episode.id for episode, _ in alone]
    for (one, _), (other, _) in zip(alone, together, strict=True):
        assert np.array_equal(one.frames, other.frames) and np.array_equal(one.actions, other.actions)
