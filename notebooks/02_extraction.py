# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Signals: what the heads are to predict (sections 3.1 and 3.3)
#
# **The paper says**: depth comes from Video-Depth-Anything, 400 point tracks from CoTracker3, object masks from SAM 3.
# The 3D centroid and a 10-D shape descriptor follow from masked depth. All are computed once and packed into HDF5
# beside pixels, actions and observations. A uniform grid puts about 5 visible tracks on the object, a
# foreground-biased one about 47.
#
# **What we do.** Each signal has a *backend*, chosen by name. On the simulated tabletop that is the simulator's own
# truth. On real frames it is the paper's backend if its weights are there (`--weights DIR`), otherwise `classical`:
# OpenCV tracks and a mask of what is moved. It needs no weights and makes no depth. Notebook 01 says which was chosen
# and why. A signal that no backend can make is left out of the file, with the reason. The conditions that need it are
# then skipped in the notebooks that follow.
#
# We also measure how good the backends are, on simulated episodes, where the truth is known.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
n_quality = 6  # simulated episodes on which backends are measured
quality_size = 224  # px of these
widget_episodes = 4  # episodes to look through below
controls = False  # also the pool of episodes that notebook 08 needs
n_test = 0  # test episodes that each seed draws afresh, before its training episodes; 0: all seeds split the same sets
n_full = 60  # the full-scale set, where each seed draws its own; the paper has 100
n_pilot = 13  # the pilot, the first of these; the paper's number
pilot_seeds = 5  # runs per condition on the pilot; the paper has 3 to 10
full_seeds = 3  # runs per condition on the full set; the paper has 3
jobs = 0  # parallel processes; 0: one a core
on = "local"  # where the work is done: local, ray[:address], slurm[:partition]

# %%

from lewm_core.dataset.packets import packets
from lewm_core.diagnostics import audit
from lewm_core.experiments.draws import DrawSizes, overview
from lewm_core.signals import trial
from lewm_core.signals.extraction import FOREGROUND_SHARE
from lewm_core.signals.geometry import GRID
from lewm_core.stats import findings_signals
from lewm_core.study import Study
from lewm_core.viz import data_figures, images, tables, widgets
from lewm_core.viz.shown import show_table, tell

# %%
study = Study(output, figures, profile, data, on)
chosen = study.selected_by
if n_test:
    sets = f"Each of {max(pilot_seeds, full_seeds)} seeds draws its own full set and, of it, its own pilot."
else:
    sets = f"The full set was chosen by {chosen['full_by']}, the pilot by {chosen['pilot_by']}."
tell(f"Source: {study.source.open().name}, {study.source.image_size} px.", sets)

# %% [markdown]
# ## The dataset
#
# One file holds every episode of the study, one after the other. The pilot, the full set and the pool of the controls
# are selections of it by name. The pool exists only with `--study controls`. It has three parts: a *test* set drawn
# from all scored episodes and, from the others, the *best* by score and as many drawn at *random*.
#
# With `n_test` above 0 every seed draws its own episodes from those that notebook 01 kept: first the test episodes,
# then the full set, whose first are the pilot. All conditions of a seed share them. An interval over seeds then covers
# which episodes were drawn, too. The first table then counts the episodes of all seeds together, the second those of
# each; *new in full* is the share of the full set that no seed before it had.

# %%
draw = DrawSizes(n_test, n_full, n_pilot, max(pilot_seeds, full_seeds))
study.write_dataset(controls, draw, jobs)
pilot, full = study.data("pilot"), study.data("full")
show_table(study.set_sizes(), {"mean score": "{:.3f}"}, precision=0, na_rep="–")
if n_test:
    show_table(overview(study.sets.draws, study.frames), {"new in full": "{:.0%}"})

# %% [markdown]
# The first five columns are the public LeWM contract, so any LeWM tool trains on the file as it is.

# %%
show_table(audit.contract({"pilot": pilot, "full": full}))
tell(f"{full.nan_actions} action values of the full set are NaN in the file. They become 0 when read.")

# %% [markdown]
# ## One episode, all its signals
#
# All signals of a few frames, as in the paper's packet view. Time runs to the right.

# %%
shown = packets(pilot, study.episodes("pilot")[:widget_episodes])
episode, signals = next(iter(shown.values()))
about = study.about("full", source=study.source.public())
study.show(images.packet_view(episode, signals), "packet_view", tables.packet(signals), about)

# %% [markdown]
# ## Audit
#
# Over the full set: what made each signal; in what share of the frames it is valid (for depth of the pixels, for tracks
# of the points); and the range of one number of it that is easy to check.

# %%
show_table(audit.signals(full), {"valid": "{:.1%}"}, precision=3, na_rep="–")

# %% [markdown]
# ## How good are the backends?
#
# We compare `classical`, and every backend whose weights are here, with the simulator's truth. This is done on
# simulated episodes whatever the data of this run, since only there the truth exists. We take the first episodes in
# which the robot does what it set out to do: in others there may be no moved object to find.
#
# Most points of a grid lie on what never moves. So three groups are also counted alone:
#
# - *moving* points are truly more than 2 px from where they began, at some time; many are the gripper's
# - points that begin on the *object*
# - *staying* points are visible in every frame
#
# Tracks are measured by the TAP-Vid metrics, in px at 224: *AJ* is the average Jaccard, *within 1–16 px* the mean share
# of visible points within 1, 2, 4, 8 and 16 px, *occlusion* the share whose visibility is right, *found* the share of
# visible points that are called visible. Depth is measured after one scale and one shift for the clip. *Stability* is
# the overlap of each mask with the next, centred. `signals.quality.compare` defines each number.

# %%
tried = trial.run(n_quality, quality_size, study.source.seed, study.source.settings, study.workspace.signals)
show_table(tried.summary.T, "{:.3f}", na_rep="–")

# %%
simulated = study.about(data=tried.source.name, fingerprint=tried.source.fingerprint,
                        source={"episodes": tried.episodes, "image_size": quality_size})
study.show(data_figures.track_quality(tried.points), "track_quality",
           tables.track_quality(tried.numbers, tried.source.name), simulated)

# %%
tell(*findings_signals.backend_quality(tried.numbers, tried.summary, "classical"))

# %% [markdown]
# ## Visible tracks on the object
#
# The paper (section 4.4) suspected that D suffered from too few tracks on the object, about 5 a frame. It raised them
# to about 47 by placing 60 % of the query points inside the object region. Here, over the full set:

# %%
counts = audit.on_object_counts(full)
study.show(data_figures.on_object_counts(counts), "on_object_tracks", tables.on_object_counts(counts), about)

# %%
tell(*findings_signals.tracks_on_object(counts, audit.coverage(full), GRID**2, FOREGROUND_SHARE * GRID**2))

# %% [markdown]
# ## Where the masked conditions supervise
#
# C1 to C3 read depth inside the object mask only. The mask is reduced to the 56×56 grid and then dilated.

# %%
area = audit.supervised_area(full)
show_table(area, {"mean share of the frame": "{:.1%}", "frames with nothing": "{:.1%}"}, na_rep="–")

# %% [markdown]
# ## Look for yourself
#
# With a running kernel, these are live: pick an episode and a frame, set the trail's length, show only what lies on the
# object. An exported page has a slider over pictures instead.

# %%
widgets.inspect_tracks(shown)

# %%
widgets.inspect_masks(shown)

# %% [markdown]
# ## Where the paper leaves room
#
# - **Depth.** The paper's is relative (up to scale and shift per clip, and drifting on the static background). The
#   simulator's is metric and exact, so our depth conditions see a *cleaner* signal than the author's. Where a network's
#   depth is used here, its inverse depth is reversed (0 is the clip's nearest pixel, 1 the furthest). It has no
#   ratio of far to near and gives no centroid or shape.
# - **Tracks and masks** are exact on the tabletop, too. So bad extraction cannot be the reason if a signal brings no
#   benefit there.
# - **The shape descriptor's** ten components are named but not defined. Ours are in
#   `signals.geometry.shape_descriptor`.
# - **The column `contact`** of the author's file is never used in the paper. Our file has none.
# - **Intrinsics** of Bridge's cameras are unknown, so centroid and shape could not be computed there even with depth.
