# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 06 · What fits through the CLS token
#
# **The paper claims** (section 4.4): dense local signals cannot be recovered from one global latent. The track head
# must regress 800 numbers from a single CLS vector, and *"the MLP has no spatial structure with which to recover the
# per-point information"*; depth, *"dominated by global scene properties"*, can be recovered. Placing about 60 % of the
# query points on the object (D-fg here) did not help, so the fault is the architecture's, not the data's.
#
# **How we test it.** We freeze the encoder and ask what a probe (ridge regression, or a small MLP) reads from the CLS
# token, from `emb` (the projected latent that the predictor and all heads read) and from all patch tokens side by
# side. If the CLS token is the bottleneck, the patch tokens know what it does not. Probes learn on the episodes that a
# run was trained on and are scored on those it never saw. R² is 1 − squared error over the squared error of the
# training mean: 0 is a constant, 1 is perfect.
#
# **What the paper leaves open.** It measures no probe; its evidence is the effect on the next-latent MSE. And there
# is a second explanation, which we test as well: a track target is the displacement *since the episode's first frame*,
# which the current frame alone does not determine, whatever token one reads.

# %% tags=["parameters"]
profile = "quick"  # what figures say made them
data = "tabletop"  # tabletop (simulated) or bridge
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures"  # folder of the figures
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, a hub id, or a path
model = "small"  # its size: small, nano, or paper (ViT-Tiny, 224 px); a checkpoint of yours brings its own
probe_scale = "full"  # which runs and data are probed: pilot or full
probe_seeds = 3  # runs probed per condition, each with its own held-out episodes
point_counts = [1, 4, 16, 64, 100, 400]  # points regressed at once; the paper's heads regress 400
point_seeds = 1  # runs for which the number of points is varied (the slowest part)

# %%
import time

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from lewm_core import base as bases
from lewm_core import capacity, charts, dataset, plots, statistics, targets
from lewm_core.conditions import condition
from lewm_core.losses import track_loss
from lewm_core.probes import MAX_FEATURES, SIGNALS, probe_table
from lewm_core.provenance import collect
from lewm_core.sweep import load_model, result
from lewm_core.tokens import TOKENS, episode_index, held_out, token_features, with_first_frame
from lewm_core.train import Recipe
from lewm_core.workspace import Workspace

started = time.time()
workspace = Workspace(output, figures)
made_by = {"pilot": "03_pilot_ablation", "full": "05_full_scale"}
all_results = {scale: pd.read_csv(workspace.need(workspace.results(scale), made_by[scale])) for scale in made_by}
results = all_results[probe_scale]
frames = dataset.load(workspace.need(workspace.dataset(probe_scale), "02_extraction"))
start = bases.resolve(base, model, workspace.cache)
seeds = sorted(int(s) for s in results[results.condition == "A"].seed.unique())[:probe_seeds]
recipe = Recipe(**result(workspace.runs, results["run"].iloc[0])["recipe"])
held = {seed: held_out(frames, seed, recipe) for seed in seeds}
missing = {name: " ".join(dict.fromkeys(frames.missing(columns).values())) for name, columns in SIGNALS.items()}
missing = {name: reason for name, reason in missing.items() if reason}

config = start.config
side = frames['pixels'].shape[1] // config.patch_size
display(Markdown(
    f"{len(frames['ep_len'])} episodes, {len(frames['pixels'])} frames; "
    f"{', '.join(f'{len(e)} episodes held out for seed {s}' for s, e in held.items())}. A frame is {config.width} "
    f"numbers in the CLS token and {side}×{side} = {side**2} patch tokens of {config.width}, "
    f"{side**2 * config.width:,} numbers, of which the probe sees at most {MAX_FEATURES} principal "
    "components. (At the paper's size, ViT-Tiny with patches *of* 14 px at 224 px, there are 16×16 = 256 patch tokens, "
    "where the paper's '14×14 patches' suggests 196.)"))
display(Markdown("**Not probed:**\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in missing.items()))
        if missing else Markdown("All four signals are there."))
display(Markdown("What counts as truth was made by: "
                 + ", ".join(f"{name}: {maker}" for name, maker in frames.made.get("made_by", {}).items()) + "."))

# %% [markdown]
# ## What a probe recovers
#
# A frozen encoder's features for every frame: of the base that all runs start from, of A (fine-tuned without any
# signal) and of D (fine-tuned with tracks), if it was run.

# %%
names = ["base", *[c for c in ("A", "D") if c in set(results.condition)]]


def features_of(name: str, seed: int) -> dict[str, np.ndarray]:
    encoder = start.load(seed)[0] if name == "base" else load_model(results, workspace.runs, name, seed)[0]
    return token_features(encoder, frames)


features = {(name, seed): features_of(name, seed) for name in names for seed in seeds}

# %%
def probe_run(name: str, seed: int) -> pd.DataFrame:
    """Linear probes of all tokens; for A also an MLP on the two that are compared (it takes longer)."""
    tokens = features[name, seed]
    tables = [probe_table(tokens, frames, held[seed], probes=["linear"])]
    if name == "A":
        compared = {t: tokens[t] for t in ("CLS", "patch")}
        tables.append(probe_table(compared, frames, held[seed], probes=["mlp"], seed=seed))
    return pd.concat(tables).assign(condition=name, seed=seed)


probes = pd.concat([probe_run(*key) for key in features], ignore_index=True)
means = probes.groupby(["condition", "probe", "tokens", "target"], sort=False).r2.mean().unstack("target")
display(Markdown(f"Mean R² over {len(seeds)} seeds, held-out episodes:"), means.style.format("{:.3f}"))

# %%
provenance = collect(profile=profile, data=data, fingerprint=frames.fingerprint, selection=frames.made.get("selection"),
                     seeds=seeds, base=start.name, base_hash=start.hash, model=start.model, scale=probe_scale,
                     held_out={str(s): [str(frames["episode_id"][i]) for i in e] for s, e in held.items()},
                     missing=missing, duration_s=round(time.time() - started, 1))
caption = plots.caption(provenance) + "".join(f" · {name} not probed: {reason}" for name, reason in missing.items())


def probe_figure(rows: pd.DataFrame, stem: str):
    if rows.empty:
        return Markdown("Nothing could be probed.")
    figure = charts.probe_bars(rows.assign(probe=rows.condition + ", " + rows.probe), caption)
    plots.save_figure(figure, workspace.figures / stem,
                      plots.tidy(rows, "r2", "r2", scale=probe_scale, split="episode"), provenance)
    return figure


shown = probes[probes.tokens.isin(["CLS", "patch"]) & probes.r2.notna()]
display(probe_figure(shown[shown.condition == "A"], "cls_probes"))

# %% [markdown]
# Does fine-tuning, without or with tracks, change what a linear probe reads?

# %%
display(probe_figure(shown[shown.probe == "linear"], "cls_probes_models"))

# %%
linear = means.xs("linear", level="probe")
lines = []
for target in means.columns:
    cls, emb, patch = (linear.loc[("A", tokens), target] for tokens in TOKENS)
    lines.append(f"- **{target}**: R² = {cls:.2f} from the CLS token, {emb:.2f} from `emb`, {patch:.2f} from the patch "
                 f"tokens (patch − CLS: {statistics.number(patch - cls, 2)})")
each = probes.query("condition == 'A' and probe == 'linear'").pivot(index=["seed", "target"], columns="tokens",
                                                                    values="r2")
gaps = (each["patch"] - each["CLS"]).unstack("target")
if {"depth", "tracks"} <= set(gaps):
    larger = (gaps["tracks"] > gaps["depth"]).sum()
    lines.append(
        "\nIf the paper's bottleneck is the reason, the CLS token lacks more of the tracks than of the depth that the "
        f"patch tokens have: the gap patch − CLS is {statistics.number(gaps['tracks'].mean(), 2)} for tracks and "
        f"{statistics.number(gaps['depth'].mean(), 2)} for depth, larger for tracks in {larger} of {len(gaps)} seeds.")
display(Markdown("A linear probe of A:\n\n" + "\n".join(lines)))

# %% [markdown]
# ## Is it the token, or the target?
#
# The same linear probe for tracks, once with the current frame's tokens and once with those of the episode's first
# frame beside them. What improves with the second was not lost in the CLS token: it was never in the frame.

# %%
control = pd.DataFrame()
if "tracks" not in missing:
    control = pd.concat([
        probe_table({"CLS": tokens["CLS"], "CLS + first frame": with_first_frame(tokens["CLS"], frames),
                     "patch": tokens["patch"], "patch + first frame": with_first_frame(tokens["patch"], frames)},
                    frames, held[seed], signals=["tracks"], probes=["linear"]).assign(seed=seed)
        for (name, seed), tokens in features.items() if name == "A"], ignore_index=True)
    found = control.groupby("tokens", sort=False).r2.mean()
    token, first = found["patch"] - found["CLS"], found["CLS + first frame"] - found["CLS"]
    display(found.to_frame("R² (tracks)").style.format("{:.3f}"))
    display(Markdown(
        f"From the CLS token of one frame: R² = {found['CLS']:.2f}. More tokens of the same frame change it by "
        f"{statistics.number(token, 2)}, the CLS token of the first frame by {statistics.number(first, 2)}; with the "
        f"patch tokens of both frames it is {found['patch + first frame']:.2f}. "
        + ("None of them exceeds 0.05, too little to tell the two apart." if (found <= 0.05).all() else
           "Of the two, the missing reference frame weighs more here." if first > token else
           "Of the two, the token weighs more here.")))
else:
    display(Markdown("No tracks: " + missing["tracks"]))

# %% [markdown]
# ## Does it matter how many points are regressed at once?
#
# If one vector is too small for 400 points, fewer points should fit better. To compare like with like, the error is
# always that of the same few points, from the quarter of the grid that moves most in training; what varies is how many
# points share an MLP of the paper's track head's width. The training mean and 'no motion' look at nothing. (All
# of them are fitted by squared error; the error drawn is the mean distance.)

# %%
points = pd.DataFrame()
if "tracks" not in missing:
    points = pd.concat([
        capacity.capacity_curve({name: capacity.token_sets(tokens)[name] for name in ("CLS", "patch")}, frames,
                                held[seed], point_counts, ["mlp"], seed).assign(seed=seed)
        for (name, seed), tokens in features.items() if name == "A" and seed in seeds[:point_seeds]],
        ignore_index=True)
    here = provenance | {"seeds": seeds[:point_seeds], "duration_s": round(time.time() - started, 1)}
    figure = charts.error_vs_points(points, plots.caption(here), unit="px at 224")
    plots.save_figure(figure, workspace.figures / "track_error_vs_points",
                      plots.tidy(points.assign(condition="A"), "error", "track error (px at 224)", scale=probe_scale,
                                 split="episode"), here)
    display(figure)
    error = points.groupby(["series", "points"]).error.mean().unstack("series")
    fewest, most = error.index.min(), error.index.max()
    lines = [f"- {series}: {error.loc[fewest, series]:.1f} px with {fewest} point(s) at once, "
             f"{error.loc[most, series]:.1f} px with {most}"
             + (f" ({statistics.number(100 * (error.loc[most, series] / error.loc[fewest, series] - 1))} %)." if
                error.loc[fewest, series] > 0 else ".") for series in error]
    display(Markdown("\n".join(lines)))

# %% [markdown]
# ## D against D-fg: do better queries help?
#
# The paper raised the number of visible tracks on the object about ninefold and saw no benefit. Below: the change in
# next-latent MSE against A, and of D-fg against D directly, paired by seed, on held-out episodes. Then each head's own
# error against the same loss of two predictions that look at nothing: that no point moves, and the training mean.

# %%
variants = pd.concat([rows[rows.condition.isin(["A", "D", "D-fg"])] for rows in all_results.values()])
changes = pd.concat([
    statistics.paired_change(rows, baseline=baseline).assign(against=baseline)
    for _, rows in variants.groupby("scale", sort=False)
    for baseline, others in (("A", {"D", "D-fg"}), ("D", {"D-fg"}))
    if baseline in set(rows.condition) and others & set(rows.condition)
    for rows in [rows[rows.condition.isin({baseline, *others})]]] or [pd.DataFrame()])
if len(changes):
    summary = pd.concat([statistics.summarise(part.drop(columns="against"), np.random.default_rng(0))
                         .assign(against=against) for against, part in changes.groupby("against", sort=False)])
    display(Markdown("\n".join(f"- {row.scale}, against {row.against}: {statistics.describe(row)}"
                               for row in summary.itertuples())))
for scale in all_results:
    absent = [c for c in ("D", "D-fg") if c not in set(all_results[scale].condition)]
    reasons = pd.read_csv(workspace.skipped(scale)).set_index("condition").reason if workspace.skipped(scale).exists() \
        else pd.Series(dtype=str)
    for name in absent:
        display(Markdown(f"- {scale}: {name} was not run" + (f": {reasons[name]}" if name in reasons else ".")))

# %%
def head_against_floor(name: str, seed: int, rows: pd.DataFrame, data: dataset.Data) -> dict[str, float]:
    """A track head's loss on held-out episodes, and that of two predictions that do not look at the frame."""
    term, = condition(name).terms
    own = rows[(rows.condition == name) & (rows.seed == seed) & (rows.split == "episode")]
    groups = episode_index(data)
    unseen = np.isin(groups, held_out(data, seed, recipe))
    truth = targets.build(condition(name), data, np.flatnonzero(~unseen))
    moved, visible = truth[term.target], truth[term.valid]
    seen = visible[~unseen].unsqueeze(-1)
    mean = (moved[~unseen] * seen).sum(0) / seen.sum(0).clamp(min=1)
    test = torch.from_numpy(unseen)
    return {"head": own[own.metric == "head_tracks"].value.item(),
            "no motion": track_loss(torch.zeros_like(moved[test]), moved[test], visible[test]).item(),
            "training mean": track_loss(mean.expand_as(moved[test]), moved[test], visible[test]).item()}


floors = []
for scale, rows in all_results.items():
    chosen = dataset.load(workspace.need(workspace.dataset(scale), "02_extraction"))
    for name in [c for c in ("D", "D-fg") if c in set(rows.condition)]:
        floors += [{"condition": name, "scale": scale, "seed": seed, **head_against_floor(name, seed, rows, chosen)}
                   for seed in sorted(rows[rows.condition == name].seed.unique())]
floors = pd.DataFrame(floors)
if len(floors):
    display(floors.drop(columns="seed").groupby(["scale", "condition"]).mean().style.format("{:.2e}"))
    display(Markdown("\n".join(
        f"- {scale}, {name}: the head beats 'no motion' in {(g['head'] < g['no motion']).sum()} of {len(g)} seeds and "
        f"the training mean in {(g['head'] < g['training mean']).sum()}."
        for (scale, name), g in floors.groupby(["scale", "condition"], sort=False))))
else:
    display(Markdown("No run of D or D-fg."))

# %% [markdown]
# ## Where the paper is silent, or this test is weaker than its claim
#
# - **The target.** Displacement since the first frame needs the first frame. The paper blames the token alone; the
#   control above separates the two.
# - **D-fg's targets have no fixed place.** On the uniform grid, output *j* of the head is the same place in every
#   episode's first frame. Foreground-biased points are drawn anew per episode, so the first 240 outputs have no place
#   of their own, and a head that reads only the frame cannot know which point it is asked about. More tracks on the
#   object is then not the same task made easier, so comparing head errors of D and D-fg says little.
# - **A probe is a lower bound.** It shows what a ridge regression or a small MLP finds with this many training frames,
#   not what is there. Patch tokens offer more numbers, which helps and also overfits.
# - **Depth** is compared after removing each frame's median and spread, as condition B's loss does.
# - The effect on next-latent MSE is measured in each model's own latent space (see notebook 03).
