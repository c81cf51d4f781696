# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 06 · What fits through the CLS token, and what is left of the claims
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
figures = "figures/quick"  # folder of the figures
study = "main"  # main, or controls: also the whole capacity curve, and supervision through patch tokens
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, a hub id, or a path
model = "small"  # its size: small, nano, or paper (ViT-Tiny, 224 px); a checkpoint of yours brings its own
probe_scale = "full"  # which runs and data are probed: pilot or full
probe_seeds = 3  # runs probed per condition, each with its own held-out episodes
point_counts = [1, 16, 100, 400]  # points regressed at once (the slowest part); the paper's heads regress 400

# %%
import time

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from lewm_core import dataset
from lewm_core.diagnostics import capacity, design, leakage, metrics
from lewm_core.diagnostics.probes import MAX_FEATURES, SIGNALS, probe_table
from lewm_core.diagnostics.tokens import TOKENS, held_out, token_features, with_first_frame
from lewm_core.experiments import base as bases
from lewm_core.experiments.sweep import load_model, result
from lewm_core.stats import claims, claims_report, patch_routes, power, verdicts
from lewm_core.stats import paired as statistics
from lewm_core.stats.evidence import gather
from lewm_core.train import Recipe
from lewm_core.utils.provenance import caption as caption_of
from lewm_core.utils.provenance import collect
from lewm_core.utils.workspace import SCALES, Workspace
from lewm_core.viz import control_figures, diagnostic_figures, robustness_figures, style

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
caption = caption_of(provenance) + "".join(f" · {name} not probed: {reason}" for name, reason in missing.items())


def probe_figure(rows: pd.DataFrame, stem: str):
    if rows.empty:
        return Markdown("Nothing could be probed.")
    figure = diagnostic_figures.probe_bars(rows.assign(probe=rows.condition + ", " + rows.probe))
    style.add_caption(figure, caption)
    style.save_figure(figure, workspace.figures / stem,
                      style.tidy(rows, "r2", "r2", scale=probe_scale, split="episode"), provenance)
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
# If one vector is too small for 400 points, fewer points should fit better. To compare like with like, the error (root
# mean square) is always that of the same few points, from the quarter of the grid that moves most in training; what
# varies is how many points share an MLP of the paper's track head's width. The dashed lines look at nothing: what is
# not below the training mean recovers nothing.
#
# The controls (`--study controls`) add both kinds of token together, a linear probe, one by cross-attention, which is
# told where a point started, so that it can look there, and a ceiling: how well *can* these displacements be predicted
# on unseen episodes? The dotted lines are the same probes on the state itself (the gripper's pose and opening, the
# object's centroid), of the frame alone and with its change since the first frame. If the state recovers no more than
# the tokens do, the tokens are not what is missing.

# %%
def curve(seed: int, names: list[str], counts: list[int], kinds: list[str]) -> pd.DataFrame:
    sets = {**capacity.token_sets(features["A", seed]), **capacity.states(frames)}
    return capacity.capacity_curve({name: sets[name] for name in names}, frames, held[seed], counts, kinds,
                                   seed).assign(seed=seed)


points, first, tokens = pd.DataFrame(), seeds[0], ["CLS", "patch", "both"]
if "tracks" not in missing:
    if study == "controls":
        few, *_, most = point_counts
        parts = [curve(first, [*tokens, capacity.STATE, capacity.STATE_FIRST], point_counts, ["linear", "mlp"]),
                 curve(first, [*tokens, capacity.STATE_FIRST], sorted({point_counts[1], most}), ["attention"]),
                 *(curve(s, ["CLS", "patch"], [few, most], ["mlp"]) for s in seeds[1:])]
    else:
        parts = [curve(first, ["CLS", "patch"], point_counts, ["mlp"])]
    points = pd.concat(parts, ignore_index=True).drop_duplicates(["seed", "series", "probe", "points"])
    here = provenance | {"seeds": [first], "duration_s": round(time.time() - started, 1)}
    shown = points[points.seed == first]
    figure = diagnostic_figures.capacity_curves(shown)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_capacity",
                      style.tidy(shown.assign(condition="A"), "error", "track error (px at 224)", scale=probe_scale,
                                 split="episode"), here)
    display(figure)
    display(Markdown("\n".join(f"- {line}" for line in capacity.describe_curve(shown))))

# %% [markdown]
# ## D against D-fg: do better queries help?
#
# The paper raised the number of visible tracks on the object about ninefold and saw no benefit. Below: the change in
# next-latent MSE against A, and of D-fg against D directly, paired by seed, on held-out episodes. Then each head's own
# error against the same loss of two predictions that look at nothing: that no point moves, and the training mean.

# %%
variants = pd.concat([rows[rows.condition.isin(["A", "D", "D-fg"])] for rows in all_results.values()])
lines = []
for scale, rows in variants.groupby("scale", sort=False):
    for against, others in (("A", {"D", "D-fg"}), ("D", {"D-fg"})):
        part = rows[rows.condition.isin({against, *others})]
        if against in set(part.condition) and others & set(part.condition):
            changes = statistics.paired_change(part, baseline=against)
            able = power.power_table(changes).set_index("condition")
            lines += [f"- {scale}, against {against}: {statistics.describe(row)}. "
                      f"{power.can_show(able.loc[row.condition]).capitalize()}."
                      for row in statistics.summarise(changes).itertuples()]
    why = pd.read_csv(workspace.skipped(scale)).set_index("condition").reason
    lines += [f"- {scale}: {name} was not run" + (f": {why[name]}" if name in why else ".")
              for name in ("D", "D-fg") if name not in set(rows.condition)]
display(Markdown("\n".join(lines)))

# %%
trained = variants.assign(recipe=recipe)
floors = pd.concat([capacity.head_floors(trained[trained.scale == scale], dataset.load(workspace.dataset(scale)))
                    for scale in all_results])
if len(floors):
    display(floors.drop(columns="seed").groupby(["scale", "condition"]).mean().style.format("{:.2e}"))
    display(Markdown("\n".join(
        f"- {scale}, {name}: the head beats 'no motion' in {(g['head'] < g['no motion']).sum()} of {len(g)} seeds and "
        f"the training mean in {(g['head'] < g['training mean']).sum()}."
        for (scale, name), g in floors.groupby(["scale", "condition"], sort=False))))
else:
    display(Markdown("No run of D or D-fg."))

# %% [markdown]
# ## Does what is useless through CLS help through patch tokens? (controls)
#
# **The paper concludes** that the head's architecture is at fault, and proposes a head or a predictor that reads patch
# tokens. **Test:** the same depth and tracks through a head on patch tokens (B-patch, D-patch, against A), and through
# such heads with a predictor that reads patch tokens as well (B-pp, D-pp, against A-pp, the same predictor without
# heads). Runs of notebook 05, at both scales, judged by the same episodes.

# %%
evidence, routes = gather(workspace, study, baselines=design.baselines()), design.routes()
if evidence.patches is not None and len(evidence.patches):
    paired = patch_routes.route_changes(evidence.patches.results, design.baselines())
    table = patch_routes.route_table(paired, routes)
    here = provenance | {"seeds": {s: int(n) for s, n in paired.groupby("scale", sort=False).seed.nunique().items()}}
    figure = control_figures.patch_effects(paired, table)
    style.add_caption(figure, caption_of(here))
    style.save_figure(figure, workspace.figures / "control_patches", style.tidy(paired, "change", "mse change %"), here)
    display(figure)
    shown = table.set_index(["scale", "condition"])[["mean", "low", "high", "n", "p_holm", "mde", "seeds", "helps"]]
    display(shown.style.format("{:.2f}", subset=["mean", "low", "high", "p_holm", "mde"]).set_caption(
        "change of MSE (%), held-out episodes; mde: detected at 80 % power; seeds: needed to tell ±1.3 % from 0"))
    display(Markdown("\n".join(f"- {line}" for line in patch_routes.describe_routes(table, paired, routes))))
else:
    display(Markdown("Not measured: " + ("notebook 05 left no such runs." if study == "controls" else
                                         "`study` is not `controls`.")))

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

# %% [markdown]
# ## The claims of the paper
#
# Every claim, with the paper's number, ours with its 95 % interval over seeds, and a verdict by a rule written down in
# `lewm_core/stats/verdicts.py` and under the table. An interval that includes 0 is no evidence of anything; a claimed absence
# needs a test of equivalence. What these runs cannot decide is *not decided at this power*: beside it stands the
# smallest change that they would have detected.
#
# The verdicts are on next-latent MSE of held-out episodes. The map below asks whether they survive another metric, or
# the paper's split.

# %%
full = dataset.load(workspace.dataset("full"))
of_full = all_results["full"]
more = metrics.metric_table(of_full, workspace.runs, full, start) if study == "controls" else None
seen = pd.concat([pd.read_csv(workspace.need(workspace.measured("leak"), "03_pilot_ablation")),
                  leakage.leak_summary(leakage.leak_table(of_full, workspace.runs, full, start))])
evidence = gather(workspace, study, more, design.baselines(), parameters=design.parameters(), probes=probes[probes.condition == "A"], capacity=points, leak=seen)
about = collect(profile=profile, data=data, fingerprint=full.fingerprint, base=start.name, base_hash=start.hash,
                seeds={s: int(r.seed.nunique()) for s, r in all_results.items()}, model=start.model, study=study,
                duration_s=round(time.time() - started, 1))
judged = claims.claims_table(evidence, provenance=about)
claims_report.save(judged, workspace.figures)
static = evidence.results.query("condition == 'A' and metric == 'mse_over_static' and split == 'episode'")
lines = leakage.describe_leak(seen)
for scale, rows in static[static.scale.isin(SCALES)].groupby("scale", sort=False):
    lines.append(f"{scale}: {result(workspace.runs, rows['run'].iloc[0])['steps']} optimizer steps; A beats the static "
                 f"prediction on unseen episodes in {(rows.value < 1).sum()} of {len(rows)} seeds.")
if len(floors):
    lines.append(f"A track head beats the training mean on unseen episodes in "
                 f"{(floors['head'] < floors['training mean']).sum()} of {len(floors)} runs of D and D-fg.")
display(Markdown("What these runs are:\n\n" + "\n".join(f"- {line}" for line in lines)))

# %%
by_metric = claims.survival(evidence, [m for m in metrics.ERRORS if m in set(evidence.results.metric)])
figure = robustness_figures.survival_map(by_metric)
style.add_caption(figure, caption_of(about))
style.save_figure(figure, workspace.figures / "claims_by_metric",
                  style.tidy(by_metric.assign(value=by_metric.n), "value", "n"), about)
display(figure)

# %%
decided = by_metric[by_metric.verdict.isin([verdicts.SUPPORTED, verdicts.CONTRADICTED])].groupby("id").verdict
both, main = decided.nunique(), judged.set_index("id").verdict
torn = [i for i in both.index if both[i] > 1]
kept = [i for i in main.index[main == verdicts.SUPPORTED] if i in set(by_metric.id)
        and (by_metric[by_metric.id == i].verdict == verdicts.SUPPORTED).all()]
display(Markdown(
    f"Of {by_metric.id.nunique()} claims about an effect, {len(torn)} are supported under one metric or split and "
    f"contradicted under another{': ' + ', '.join(torn) if torn else ''}. Of the "
    f"{(main[by_metric.id.unique()] == verdicts.SUPPORTED).sum()} that MSE on held-out episodes supports, {len(kept)} "
    f"are supported by every metric under both splits{': ' + ', '.join(kept) if kept else ''}."))
display(Markdown(claims_report.markdown(judged)))
