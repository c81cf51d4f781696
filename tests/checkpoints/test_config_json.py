"""config.json of the public tools, read without running it: every variant, and one error for all that is not LeWM."""

import copy
import json

import pytest

from lewm_core.checkpoints import config_json
from lewm_core.config import MODELS, LeWMConfig
from lewm_core.utils.errors import InputError

SWM, OLD = "stable_worldmodel.wm.lewm.module.", "module."


def published(width: int = 192, modules: str = SWM) -> dict:
    """What the hub's LeWM repositories hold (lewm-cube: 25-D actions), written out by hand."""
    mlp = {"_target_": modules + "MLP", "output_dim": 192, "hidden_dim": 2048,
           "norm_fn": {"_target_": "torch.nn.BatchNorm1d", "_partial_": True}}
    return {
        "_target_": "stable_worldmodel.wm.lewm.LeWM" if modules == SWM else "jepa.JEPA",
        "encoder": {"_target_": "stable_pretraining.backbone.utils.vit_hf", "size": {192: "tiny", 384: "small"}[width],
                    "patch_size": 14, "image_size": 224, "pretrained": False, "use_mask_token": False},
        "predictor": {"_target_": modules + ("Predictor" if modules == SWM else "ARPredictor"), "num_frames": 3,
                      "input_dim": 192, "hidden_dim": 192, "output_dim": 192, "depth": 6, "heads": 16,
                      "mlp_dim": 2048, "dim_head": 64, "dropout": 0.1, "emb_dropout": 0.0},
        "action_encoder": {"_target_": modules + "Embedder", "input_dim": 25, "emb_dim": 192},
        "projector": {**mlp, "input_dim": width},
        "pred_proj": {**mlp, "input_dim": 192},
    }


def change(path: str, value: object, tree: dict | None = None) -> dict:
    """A published config with the value at a dotted path set; a value of `...` removes it."""
    tree = copy.deepcopy(tree or published())
    *blocks, field = path.split(".")
    at = tree
    for block in blocks:
        at = at[block]
    at[field] = value
    if value is ...:
        del at[field]
    return tree


def test_published_configs_are_the_papers_model():
    paper = LeWMConfig(action_dim=25)
    assert config_json.parse(published()) == config_json.parse(published(modules=OLD)) == paper
    assert config_json.parse({"model": published(), "trainer": {"gpus": 8}}) == paper
    extra = change("embed_dim", 192, change("history_size", 3))
    for tree in (extra, change("projector.norm_fn", "torch.nn.BatchNorm1d"), change("predictor.output_dim", ...),
                 change("encoder.layer_norm_eps", 1e-12), change("encoder._target_", ...),
                 change("projector.act_fn", "torch.nn.GELU")):
        assert config_json.parse(tree) == paper


def test_sizes_come_from_the_config():
    small = config_json.parse(published(384))
    assert (small.width, small.dim, small.encoder_heads, small.encoder_mlp) == (384, 192, 6, 1536)
    tree = published()
    tree["encoder"] |= {"hidden_size": 96, "num_attention_heads": 4, "num_hidden_layers": 5, "intermediate_size": 100}
    tree["projector"]["input_dim"] = 96
    tree["action_encoder"] |= {"smoothed_dim": 7, "mlp_scale": 2}
    own = config_json.parse(tree)
    assert (own.encoder_dim, own.encoder_heads, own.encoder_depth, own.encoder_mlp) == (96, 4, 5, 100)
    assert (own.action_smoothed, own.action_hidden) == (7, 384)
    tree["encoder"].pop("intermediate_size")
    assert config_json.parse(tree).encoder_mlp == 768, "four times the named size's width, not the overridden one's"


@pytest.mark.parametrize("config", [*MODELS.values(), LeWMConfig(encoder_dim=384, encoder_heads=6, encoder_mlp=1536)])
def test_what_we_write_reads_back(config):
    assert config_json.parse(json.loads(json.dumps(config_json.public(config)))) == config


def test_hidden_sizes_that_the_public_action_encoder_lacks_are_refused():
    with pytest.raises(InputError, match="action_hidden.*multiple of D, 192"):
        config_json.public(LeWMConfig(action_hidden=100))


@pytest.mark.parametrize("path, value, sentences", [
    ("_target_", "os.system", ["_target_ is 'os.system'", "jepa.JEPA"]),
    ("encoder._target_", "timm.create_model", ["encoder._target_ is 'timm.create_model'", "vit_hf"]),
    ("predictor._target_", "evil.Predictor", ["predictor._target_"]),
    ("encoder.size", "giant", ["'giant'", "tiny, small, base, large, huge"]),
    ("encoder.layer_norm_eps", 1e-6, ["encoder.layer_norm_eps is 1e-06 (supported: 1e-12)"]),
    ("encoder.image_size", 200, ["encoder.image_size is 200", "multiple of the patch_size 14"]),
    ("encoder.image_size", "${img_size}", ["encoder.image_size is '${img_size}'", "whole number"]),
    ("action_encoder.input_dim", "???", ["action_encoder.input_dim is '???'"]),
    ("encoder.num_attention_heads", 5, ["divisor of the width 192"]),
    ("predictor.depth", ..., ["predictor.depth is missing"]), ("predictor.depth", 0, ["at least 1"]),
    ("predictor.depth", True, ["at least 1"]), ("predictor.dropout", 2, ["predictor.dropout is 2"]),
    ("projector", ..., ["no block projector"]), ("pred_proj", None, ["no block pred_proj"]),
    ("predictor.depth", 10**5, ["predictor_depth 100000", "at most 200"]),
    ("action_encoder.input_dim", 10**30, ["action_dim 1000000", "1 to 100,000"]),
    ("projector.act_fn", "torch.nn.ReLU", ["projector.act_fn is 'torch.nn.ReLU'"]),
])
def test_anything_else_is_an_error_that_names_it(path, value, sentences):
    with pytest.raises(InputError) as error:
        config_json.parse(change(path, value), "there/config.json")
    assert all(s in str(error.value) for s in ["there/config.json", *sentences]), str(error.value)


def test_all_violations_stand_in_one_error():
    tree = change("predictor.depth", 0, change("projector.act_fn", None, change("encoder.size", 3)))
    with pytest.raises(InputError) as error:
        config_json.parse(change("pred_proj", ..., tree))
    assert len(error.value.found.split("; ")) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", "[" * 100_000, "\xff"])
def test_files_that_are_no_config(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text, "latin-1")
    with pytest.raises(InputError, match="config.json"):
        config_json.read(path)
