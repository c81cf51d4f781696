"""Checkpoints of every layout in, our checkpoints out, and a study from somebody else's. All files are made here."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lewm_core import dataset
from lewm_core.checkpoints import checkpoint, config_json, export, names
from lewm_core.config import MODELS, LeWMConfig
from lewm_core.encoder import normalise
from lewm_core.experiments import base, sweep
from lewm_core.experiments.run import execute, result
from lewm_core.model import LeWM
from lewm_core.runner import cli, plan
from lewm_core.utils.errors import InputError
from tests.helpers import TINY, write_squares

ROOT = Path(__file__).resolve().parents[2]
CUBE = replace(MODELS["nano"], action_dim=25, encoder_dim=48, encoder_heads=4)  # the ViT wider than the latent


@pytest.fixture(scope="module")
def source():
    """A model whose every weight and statistic is off its initial value."""
    model = LeWM(CUBE, 3)
    generator = torch.Generator().manual_seed(0)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value += 0.1 * torch.rand(value.shape, generator=generator)
    return model.eval()


def old_names(state: dict, config: LeWMConfig = CUBE) -> dict:
    """The ViT's names as transformers <= 5.8 had them, written out here once more."""
    swaps = [("attention.q_proj", "attention.attention.query"), ("attention.k_proj", "attention.attention.key"),
             ("attention.v_proj", "attention.attention.value"), ("attention.o_proj", "attention.output.dense"),
             ("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense")]
    old = {}
    for name, value in state.items():
        if name.startswith("encoder.layers."):
            name = name.replace("encoder.layers.", "encoder.encoder.layer.")
            for new, former in swaps:
                name = name.replace(new, former)
        old[name] = value
    assert len(old.keys() - state.keys()) == 16 * config.encoder_depth
    return old


def lightning(state: dict) -> dict:
    """What a Lightning module of the public code saves: its own prefix, SIGReg's constants, the optimizer."""
    inner = {f"model.{n}": v for n, v in state.items()}
    sigreg = {f"sigreg.{n}": torch.ones(3) for n in ("t", "phi", "weights")}
    return {"state_dict": inner | sigreg, "epoch": 3, "optimizer_states": [{"state": {}, "param_groups": []}]}


LAYOUTS = {
    "new.pt": lambda s: s, "old.pt": old_names, "lightning.ckpt": lightning, "wrapped.pt": lambda s: {"model": s},
    "compiled.ckpt": lambda s: {"state_dict": {f"model._orig_mod.{n}": v for n, v in old_names(s).items()}},
    "plain.safetensors": old_names,
}


def write(path: Path, value: dict, config: LeWMConfig = CUBE) -> Path:
    """`value` in a file, with the config.json of `config` beside it."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(value, path)
    else:
        torch.save(value, path)
    (path.parent / "config.json").write_text(json.dumps(config_json.public(config)))
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_model(source, tmp_path, layout):
    path = write(tmp_path / layout, LAYOUTS[layout](names.public_state(source)))
    for name in (path, tmp_path):
        model, metadata = checkpoint.load(name)
        assert model.config == CUBE == checkpoint.read_config(name) and metadata == {} and not model.training
        assert all(torch.equal(v, source.state_dict()[n]) for n, v in model.state_dict().items())


@pytest.mark.parametrize("path, value", [
    ("encoder.image_size", 64), ("encoder.patch_size", 16), ("encoder.hidden_size", 96),
    ("encoder.num_hidden_layers", 3), ("encoder.intermediate_size", 60), ("predictor.input_dim", 48),
    ("predictor.num_frames", 4), ("predictor.depth", 3), ("predictor.heads", 4), ("predictor.mlp_dim", 60),
    ("predictor.dim_head", 32),
    ("projector.hidden_dim", 60), ("action_encoder.input_dim", 7), ("action_encoder.smoothed_dim", 7),
    ("action_encoder.mlp_scale", 4),
])
def test_the_weights_shapes_prove_every_other_number(source, tmp_path, path, value):
    weights = write(tmp_path / "weights.pt", names.public_state(source))
    tree, (block, field) = config_json.public(CUBE), path.split(".")
    assert tree[block][field] != value
    tree[block][field] = value
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match="weights.pt: found .* instead of|weights.pt: found missing"):
        checkpoint.load(weights)


def test_other_actions_get_a_new_action_encoder_and_nothing_else_changes(source, tmp_path):
    write(tmp_path / "weights.pt", names.public_state(source))
    models, metadata = zip(*(checkpoint.load(tmp_path, 7, seed) for seed in (0, 0, 1)), strict=True)
    assert metadata[0] == {"action_encoder": "re-initialised, 25-D to 7-D actions"}
    for name, value in source.state_dict().items():
        if name.startswith("action_encoder."):
            got = [m.state_dict()[name] for m in models]
            assert torch.equal(got[0], got[1]) and not torch.equal(got[0], got[2])
        else:
            assert all(torch.equal(m.state_dict()[name], value) for m in models)
    assert models[0].encode(torch.zeros(1, 2, 3, 32, 32), torch.zeros(1, 2, 7))[1].shape == (1, 2, 32)
    assert checkpoint.load(tmp_path, 25)[1] == {}


def test_a_scale_of_other_actions_is_not_used(source, tmp_path):
    checkpoint.save(tmp_path / "model.safetensors", source, action_scale={"mean": [0.0] * 25, "std": [1.0] * 25})
    assert "action_scale" in checkpoint.load(tmp_path)[1]
    assert base.of_checkpoint(str(tmp_path)).load(0)[1] is None


# --- bad files


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def damage(name: str, path: Path, state: dict) -> None:
    """Write one kind of bad weights to `path`."""
    if name.startswith("evil"):
        torch.save({"state_dict": state, "hyper": Evil()}, path, _use_new_zipfile_serialization=name == "evil")
    elif name == "object":
        torch.save(LeWM(MODELS["nano"]), path)
    elif name == "list":
        torch.save([1, 2], path)
    elif name == "numbers":
        torch.save({**state, "epoch": 3}, path)
    elif name == "nan":
        torch.save({**state, "projector.net.0.bias": torch.full((64,), float("nan"))}, path)
    elif name == "whole":
        torch.save({**state, "pred_proj.net.0.bias": torch.zeros(64, dtype=torch.int8)}, path)
    elif name == "other":
        torch.save(names.public_state(LeWM(MODELS["small"])), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=name != "cut legacy")
        content = path.read_bytes()
        path.write_bytes({"cut": content[:-200], "half": content[: len(content) // 2], "cut legacy": content[:-200],
                          "empty": b"", "page": b"<html>404</html>"}[name])


@pytest.mark.parametrize("name, sentences", [
    ("evil", ["would run code", f"{os.system.__module__}.system", "not opened"]),
    ("evil legacy", ["before version 1.6", "save it again"]), ("object", ["would run code", "LeWM"]),
    ("cut", ["no whole file", "cut short"]), ("half", ["no whole file"]), ("cut legacy", ["no whole file"]),
    ("empty", ["no whole file"]), ("page", ["no whole file"]), ("list", ["found a list"]),
    ("numbers", ["epoch is a int"]), ("nan", ["projector.net.0.bias has values that are not finite"]),
    ("whole", ["pred_proj.net.0.bias of torch.int8 instead of torch.float32"]),
    ("other", ["unexpected encoder.blocks.2", "action_encoder.embed.0.bias (256,) instead of (64,)", " more"]),
])
def test_bad_weights_are_one_error_and_run_nothing(source, tmp_path, monkeypatch, name, sentences):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "weights.pt", {})
    damage(name, path, names.public_state(source))
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert all(s in str(error.value) for s in [str(path), *sentences]), str(error.value)
    with pytest.raises(InputError):
        export.export(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_pickle_of_a_newer_protocol_is_refused_too(tmp_path, monkeypatch):
    import pickle

    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "weights.pt", {})
    path.write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(InputError, match="would run code"):
        checkpoint.load(path)
    assert not (tmp_path / "pwned").exists()


def test_config_and_header_must_agree_and_one_must_be_there(source, tmp_path):
    path = write(tmp_path / "a" / "weights.pt", names.public_state(source))
    (path.parent / "config.json").unlink()
    with pytest.raises(InputError, match="no config.json beside it"):
        checkpoint.load(path)
    checkpoint.save(tmp_path / "a" / "model.safetensors", source)
    (path.parent / "config.json").write_text(json.dumps(config_json.public(MODELS["nano"])))
    with pytest.raises(InputError, match="as in the header of model.safetensors"):
        checkpoint.load(tmp_path / "a")


# --- a study from it


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory, one_thread):
    """A finished run of condition E from a checkpoint of 25-D actions: (runs folder, run, base)."""
    folder = tmp_path_factory.mktemp("study")
    write(folder / "lewm-cube" / "weights.pt", old_names(names.public_state(source)))
    start = base.resolve(str(folder / "lewm-cube"), "small", folder / "cache")
    data = write_squares(folder / "data.h5")
    runs, _ = sweep.plan(["E"], "pilot", [0], data, start, replace(TINY, epochs=1))
    return folder / "runs", execute(runs[0], folder / "runs"), start


def test_a_run_starts_from_somebody_elses_checkpoint(finished, source):
    runs, run, start = finished
    assert start.name == "lewm-cube (action encoder re-initialised, 25-D to 7-D actions)" and start.config == CUBE
    record = result(runs, run.key)
    assert record["base"] == start.name and record["base_hash"] == start.hash
    model, metadata = checkpoint.load(runs / run.key)
    assert model.config == replace(CUBE, action_dim=7), "the architecture is the checkpoint's, not the preset's"
    frames = dataset.load(run.dataset)
    assert metadata["action_scale"]["mean"] != [0.0] * 7 and frames["action"].shape[1] == 7
    assert str(runs.parent) not in json.dumps(record)


def test_a_base_is_hashed_with_its_config(finished):
    _, _, start = finished
    config = start.path.with_name("config.json")
    text = config.read_text()
    config.write_text(text.replace('"dropout": 0.1', '"dropout": 0.2'))
    assert base.of_checkpoint(str(start.path)).hash != start.hash
    config.write_text(text)
    assert base.of_checkpoint(str(start.path.parent)).hash == start.hash


def options(*arguments: str):
    return cli.parser().parse_args(arguments)


def test_the_plan_reads_the_base_before_anything_runs(finished, source, tmp_path):
    _, _, start = finished
    folder = str(start.path.parent)
    made = plan.make_plan(options("--base", folder, "--output", str(tmp_path / "out")))  # 64 px, patches of 8
    assert made.base == start.name
    config = replace(CUBE, patch_size=14, image_size=112)
    odd = write(tmp_path / "odd" / "weights.pt", names.public_state(LeWM(config)), config)
    with pytest.raises(InputError, match="patches of 14 px.*frames of 64 px.*image_size=112.*image_size=56"):
        plan.make_plan(options("--base", str(odd)))
    assert plan.make_plan(options("--base", str(odd), "--set", "image_size=56")).inputs != made.inputs
    odd.write_bytes(odd.read_bytes()[:-100])
    with pytest.raises(InputError, match="no whole file"):
        plan.make_plan(options("--base", str(odd), "--set", "image_size=56"))


# --- our checkpoints for others


def test_an_export_holds_plain_lewm_and_reads_back_whole(finished, tmp_path):
    runs, run, _ = finished
    out = export.export(runs / run.key, tmp_path / "out")
    assert sorted(p.name for p in out.iterdir()) == sorted(export.FILES)
    state = torch.load(out / "weights.pt", weights_only=True)
    assert state.keys() == names.to_public(LeWM(CUBE).state_dict()).keys(), "the core is plain LeWM"
    (model, metadata), (again, known) = checkpoint.load(runs / run.key), checkpoint.load(out)
    assert all(torch.equal(v, again.state_dict()[n]) for n, v in model.state_dict().items())
    record = result(runs, run.key)
    assert {k: known[k] for k in metadata} == metadata and known["metrics"] == record["metrics"]
    assert load_file(out / "heads.safetensors").keys() == load_file(runs / run.key / "heads.safetensors").keys()
    (out / "model.safetensors").unlink()
    assert all(torch.equal(v, model.state_dict()[n]) for n, v in checkpoint.load(out)[0].state_dict().items())


@pytest.mark.parametrize("name", ["result.json", "heads.safetensors"])
def test_a_run_that_lost_a_file_is_not_exported_without_it(finished, tmp_path, name):
    runs, run, _ = finished
    shutil.copytree(runs / run.key, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    with pytest.raises(InputError, match=f"{name}: found no such file"):
        export.export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_says_how_the_weights_were_made(finished, tmp_path):
    runs, run, start = finished
    out = export.export(runs / run.key, tmp_path / "out")
    card, record = (out / "README.md").read_text(), result(runs, run.key)
    mse = " | ".join(f"{metrics['mse']:.4g}" for metrics in record["metrics"].values())
    for text in ("| condition | E |", "| seed | 0 |", f"| dataset fingerprint | {run.fingerprint} |", start.name,
                 f"| metric | {' | '.join(record['metrics'])} |", f"| mse | {mse} |", "| batch_size | 8 |",
                 "heads.safetensors"):
        assert text in card, text
    assert re.match(r"---\n(.+\n)+---\n\n# LeWM, condition E, seed 0\n", card)
    assert str(tmp_path) not in card and "simulated" not in card
    model, metadata = checkpoint.load(runs / run.key)
    card = export.card(model, {**metadata, "base": "quentinll/lewm-cube (action encoder new)", "data": "tabletop"},
                       "x", heads=False)
    assert "base_model: quentinll/lewm-cube\n" in card and "| data | tabletop, simulated |" in card


def test_the_shipped_base_can_be_exported(tmp_path):
    out = export.export(base.SHIPPED / "small.safetensors", tmp_path / "out")
    assert not (out / "heads.safetensors").exists()
    assert f"| episodes | {base.PRETRAINING['small'].episodes} |" in (out / "README.md").read_text()
    assert checkpoint.load(out)[1] == checkpoint.load(base.SHIPPED / "small.safetensors")[1]


def test_nothing_is_overwritten_unless_it_is_ours_and_asked(source, tmp_path):
    checkpoint.save(tmp_path / "model.safetensors", source)
    out = export.export(tmp_path / "model.safetensors", tmp_path / "out")
    before = (out / "weights.pt").stat().st_mtime_ns
    with pytest.raises(InputError, match="Ask for it to be overwritten"):
        export.export(tmp_path / "model.safetensors", out)
    assert (out / "weights.pt").stat().st_mtime_ns == before
    export.export(tmp_path / "model.safetensors", out, overwrite=True)
    assert (out / "weights.pt").stat().st_mtime_ns != before
    (out / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="diary.txt"):
        export.export(tmp_path / "model.safetensors", out, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "out"]


PUBLIC = """\
import sys
from lewm_core.utils import torchvision_compat as _torchvision
_torchvision.ensure()
import torch
from stable_worldmodel.wm.utils import load_pretrained
for folder in sys.argv[1:]:
    model = load_pretrained(folder + "/out").eval()
    pixels, actions = torch.load(folder + "/in.pt")
    with torch.no_grad():
        info = model.encode({"pixels": pixels, "action": actions})
        pred = model.predict(info["emb"][:, :3], info["act_emb"][:, :3])
    torch.save([info["emb"], info["act_emb"], pred], folder + "/theirs.pt")
"""


@pytest.mark.slow
def test_stable_worldmodel_opens_what_we_write(tmp_path):
    """In a process of its own, whose home is a scratch folder: importing the library writes there."""
    needs = ("stable_worldmodel", "stable_pretraining", "hydra", "imageio")
    if absent := [module for module in needs if importlib.util.find_spec(module) is None]:
        pytest.skip(f"{', '.join(absent)} not installed: pip install -e .[swm]")
    models, folders = {}, {}
    for name, config in {**MODELS, "wide": CUBE}.items():
        model, folder = models[name], folders[name] = LeWM(config, 0).eval(), tmp_path / name
        generator = torch.Generator().manual_seed(1)
        for weight in model.parameters():  # the modulations begin at zero, where much would not be compared
            weight.data += 0.02 * torch.randn(weight.shape, generator=generator)
        folder.mkdir()
        checkpoint.save(folder / "model.safetensors", model)
        export.export(folder / "model.safetensors", folder / "out")
        pixels = torch.randint(0, 256, (2, 4, 3, *2 * [config.image_size]), generator=generator, dtype=torch.uint8)
        torch.save([normalise(pixels), torch.randn(2, 4, config.action_dim, generator=generator)], folder / "in.pt")
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    home = {"HOME": str(tmp_path / "home"), "STABLEWM_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", PUBLIC, *map(str, folders.values())], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": path} | home)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, model in models.items():
        pixels, actions = torch.load(folders[name] / "in.pt")
        with torch.no_grad():
            emb, act_emb = model.encode(pixels, actions)
            ours = emb, act_emb, model.predict(emb[:, :3], act_emb[:, :3])
        for mine, theirs in zip(ours, torch.load(folders[name] / "theirs.pt"), strict=True):
            difference = (mine - theirs).abs().max().item()
            print(f"{name}: largest difference {difference:.1e} of values up to {theirs.abs().max():.2f}")
            assert theirs.std() > 0.01 and difference < 1e-5
