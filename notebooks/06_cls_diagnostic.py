# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · What fits through the CLS token
#
# **The paper claims** (section 4.4): dense local signals cannot be recovered from one global latent. The track head
# must regress 800 numbers from a single CLS vector, and *"the MLP has no spatial structure with which to recover the
# per-point information"*; depth, *"dominated by global scene properties"*, can be recovered. Placing about 60 % of the
# query points on the object (D-fg here) left tracks well behind depth, so the fault is the architecture's, not the
# data's.
#
# **How we test it.** We freeze the encoder and ask what a probe (ridge regression, or a small MLP) reads from the CLS
# token, from `emb` (the projected latent that the predictor and all heads read) and from all patch tokens side by
# side. If the CLS token is the bottleneck, the patch tokens hold what it lacks. Probes learn on the episodes that a run
# was trained on and are scored on those it never saw. R² is 1 minus the probe's squared error divided by that of the
# training mean: 0 is no better than this mean, 1 is perfect.
#
# **What the paper leaves open.** It has no probes; its evidence is the effect on the next-latent MSE. And there is a
# second explanation, which we test as well. A track target is the displacement *since the episode's first frame*. The
# current frame alone does not determine it, whatever token one reads.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
base = "tabletop"  # start of every run: tabletop (pretrained on play), retrain, random, a hub id, or a path
model = "small"  # its size: small, nano, or paper (ViT-Tiny, 224 px); a checkpoint of yours brings its own
probe_scale = "full"  # which runs and data are probed: pilot or full
probe_seeds = 3  # runs probed per condition, each with its own held-out episodes
point_counts = [1, 16, 100, 400]  # points regressed at once (the slowest part); the paper's heads regress 400

# %%
import pandas as pd

from lewm_core.diagnostics import capacity, probe_study
from lewm_core.diagnostics.probes import held_out, token_features
from lewm_core.stats import findings_probes
from lewm_core.study import Study
from lewm_core.utils.progress import bar
from lewm_core.viz import probe_figures, style
from lewm_core.viz.shown import show_table, tell

# %%
study = Study(output, figures, profile, data)
start = study.base(base, model)
results = study.results(probe_scale)
recipe = study.recipe(results)
seeds = sorted(results[results.condition == "A"].seed.unique().tolist())[:probe_seeds]
data_of = {seed: study.data(probe_scale, seed) for seed in seeds}  # the same for all seeds unless each draws its own
held = {seed: held_out(data_of[seed], seed, recipe, study.sets.of_run(probe_scale, seed).test) for seed in seeds}
frames = data_of[seeds[0]]

# %% [markdown]
# ## What there is to read
#
# The encoder turns a frame into one CLS token and a grid of patch tokens, all equally wide. With the paper's ViT-Tiny
# (patches *of* 14 px at 224 px) there are 16 × 16 = 256 patch tokens, while its words '14×14 patches' suggest 196. Of
# more than 512 numbers, a probe sees at most the first 512 principal components of the training frames.

# %%
side = frames["pixels"].shape[1] // start.config.patch_size
show_table(pd.Series({"episodes": len(frames["ep_len"]), "frames": len(frames["pixels"]),
                      "numbers in the CLS token": start.config.width, "patch tokens": side**2,
                      "numbers in all patch tokens": side**2 * start.config.width}, name=probe_scale).to_frame())
unavailable = probe_study.unavailable(frames)
tell(*(f"Episodes held out with seed {seed}: {len(episodes)}." for seed, episodes in held.items()),
     *(f"Labels of {name}: {maker}." for name, maker in frames.made.get("made_by", {}).items()),
     *(f"Not probed: {name}. {reason}" for name, reason in unavailable.items()))

# %% [markdown]
# ## What a probe recovers
#
# We read the tokens of three frozen encoders: of the base that all runs start from, of A (fine-tuned without any
# signal), and of D (fine-tuned with tracks), if it was run. Below: mean R² over seeds, on held-out episodes.

# %%
def tokens_of(name, seed):
    encoder = start.load(seed)[0] if name == "base" else study.model(results, name, seed)[0]
    return token_features(encoder, data_of[seed])


models = ["base", *[name for name in ("A", "D") if name in set(results.condition)]]
read = [(name, seed) for name in models for seed in seeds]
features = {(name, seed): tokens_of(name, seed) for name, seed in bar(read, "tokens", "encoder")}

# %%
probes = probe_study.probe_models(features, data_of, held)
of_a = probes[probes.condition == "A"]
study.keep("probes", of_a)
means = probes.groupby(["condition", "probe", "tokens", "target"], sort=False).r2.mean()
show_table(means.unstack("target").round(3))

# %%
about = study.about(probe_scale, results[results.seed.isin(seeds)], model=start.model, not_probed=unavailable)
compared = probes[probes.tokens.isin(["CLS", "patch"]) & probes.r2.notna()]
table = style.tidy(compared, "r2", "r2", scale=probe_scale, split="episode")
titled = compared.assign(probe=compared.condition + ", " + compared.probe)
a = compared.condition == "A"
study.show(probe_figures.probe_bars(titled[a]), "cls_probes", table[a], about)
tell(*findings_probes.recovered(of_a))

# %% [markdown]
# If the CLS token is why tracks do not help, the patch tokens are further ahead of it in reading tracks than in
# reading depth.

# %%
tell(*findings_probes.bottleneck(of_a))

# %% [markdown]
# Does fine-tuning, without or with tracks, change what a linear probe reads?

# %%
linear = compared.probe == "linear"
study.show(probe_figures.probe_bars(titled[linear]), "cls_probes_models", table[linear], about)

# %% [markdown]
# ## Is it the token, or the target?
#
# The same linear probe for tracks, once with the current frame's tokens, and once with those of the episode's first
# frame beside them. What the probe gains by the first frame was not lost in the CLS token: the current frame did not
# hold it.

# %%
first_frame = probe_study.probe_first_frame(features, data_of, held)
show_table(first_frame.groupby("tokens", sort=False).r2.mean().to_frame("R² (tracks)").round(3))
tell(*findings_probes.token_or_target(first_frame))

# %% [markdown]
# ## Does it matter how many points are regressed at once?
#
# If one vector is too small for 400 points, fewer points should fit better. What varies is how many points one MLP
# regresses at once; it is as wide as the paper's track head. The error (root mean square) is always that of the same
# few points, from the quarter of the grid that moves most in training. The dashed lines are predictions that look at no
# frame. A probe that is not below the training mean recovers nothing. Since this is slow, only A's first seed is
# probed. Notebook 08 adds other seeds, other probes, and probes of the true state as a ceiling.

# %%
points = probe_study.points_at_once(features, data_of, held, point_counts)
study.keep("capacity", points)
errors = style.tidy(points.assign(condition="A"), "error", "track error (px at 224)", scale=probe_scale,
                    split="episode")
of_one = study.about(probe_scale, results[results.seed == seeds[0]], model=start.model, not_probed=unavailable)
study.show(probe_figures.capacity_curves(points), "control_capacity", errors, of_one)
tell(*capacity.describe_curve(points))

# %% [markdown]
# ## D against D-fg: do better queries help?
#
# The paper raised the number of visible tracks on the object about ninefold. It saw no improvement at full scale, and
# −4.9 % on the pilot, well behind depth. Below: the change in next-latent MSE of both against A, and of D-fg against
# D, paired by seed. Beside it stand the change that so many seeds detect, and how many seeds would detect ±1.3 %,
# within which the paper's effects at full scale lie.

# %%
both = pd.concat([study.results(scale) for scale in ("pilot", "full")])
skipped = pd.concat([study.skipped(scale) for scale in ("pilot", "full")])
tell(*findings_probes.track_layouts(both, skipped))

# %% [markdown]
# Then each track head's own loss on held-out episodes, beside that of two predictions that look at no frame: that no
# point moves, and the training mean. Mean over seeds.

# %%
floors = capacity.head_floors(both[both.condition.isin(["D", "D-fg"])], study.runs, study.everything)
study.keep("floors", floors)
show_table(floors.drop(columns="seed").groupby(["scale", "condition"]).mean(), "{:.3g}")
tell(*findings_probes.against_floors(floors))

# %% [markdown]
# ## Where the paper is silent, or this test is weaker than its claim
#
# - **The target.** Displacement since the first frame cannot be known without that frame. The paper blames the token
#   alone. The section *Is it the token, or the target?* separates the two.
# - **D-fg's targets have no fixed place.** On the uniform grid, output *j* of the head is the same place in every
#   episode's first frame. Foreground-biased points are drawn anew per episode, so the first 60 % of the outputs have no
#   place of their own, and a head that reads only the frame cannot know which point it is asked about. D-fg is another
#   task, not an easier one, so comparing the head losses of D and D-fg says little.
# - **A probe is a lower bound.** It shows what a ridge regression or a small MLP finds with this many training frames,
#   not what is there. Patch tokens offer more numbers, which helps and also overfits.
# - **Depth** is compared after removing each frame's median and spread, as condition B's loss does.
# - The effect on next-latent MSE is measured in each model's own latent space (see notebook 03).
