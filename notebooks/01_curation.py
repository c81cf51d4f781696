# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Curation: which episodes the study is about (section 3.1)
#
# **The paper says**: raw BridgeData V2 episodes are *"filtered with a weighted scoring function that prefers
# put-X-on-Y task descriptions, episode lengths between 15 and 40 frames, total point-track displacement above 60
# pixels, object-mask coverage between 2 % and 25 % with low temporal variance, and depth dynamic range above 2.0."*
# The best 300 are kept; 100 of them are the full-scale set, 13 hand-selected ones the pilot.
#
# **What we do.** Text and length are checked first, before any pixel is read. For the episodes that pass, the signals
# are measured and each criterion becomes a *part* between 0 and 1. The score is their weighted mean. The selection is
# written to a table that you can edit, by hand or in the browser below: whatever stands in its columns `full` and
# `pilot` is what the other notebooks use.
#
# **Where the paper is silent.** It names the criteria, but not how they combine, their weights, what is measured for
# the displacement, or the unit of the depth range. Every such choice of ours is a field of `Criteria`, below. The paper
# and its author's post also differ on how the two sets were chosen. So each reading has a name: `pilot_by` is `score`
# or `hand`, `full_by` is `score` or `random`. The choice is recorded in the dataset and with every figure.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
data_path = ""  # folder of the data set, or of hdf5 the file; none for the tabletop
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures
n_candidates = 240  # episodes to choose from; 0: all (of real data)
seed = 0  # of the simulated episodes
looks = None  # kitchens of the simulated world: 1 (that of the base's play), 2 (that and another), None: all
image_size = 64  # px; the paper has 224
camera = 0  # of real data, 0 to 3
depth_backend = ""  # what makes each signal, by name; "": the data's default, shown below
tracks_backend = ""  # likewise
mask_backend = ""  # likewise
weights = ""  # folder of the backends' weights (python -m lewm_core download)
paper_backends = False  # on real data: the paper's backends or an error; False: classical where weights are missing
min_length = 15  # frames; the paper's
max_length = 40  # frames; the paper's
criteria = {}  # other weights and thresholds of curation.Criteria, such as {weight_motion: 3, min_motion: 40}
n_top = 120  # episodes kept; the paper has 300
n_full = 60  # the full-scale set; the paper has 100
n_pilot = 13  # the pilot; the paper's number
pilot_by = "score"  # the pilot is the best by score, or what you ticked (hand: the paper's)
full_by = "score"  # the full set is the best by score, or drawn at random from those kept (random: the author's post)
full_seed = 0  # of that draw
n_shown = 25  # episodes of which all cameras and the signals are shown
max_bad_share = 0.05  # stop if more of the episodes read so far, and more than 5, are bad
reselect = False  # overwrite a selection that somebody edited
jobs = 0  # parallel processes; 0: one a core
on = "local"  # where the work is done: local, ray[:address], slurm[:partition]

# %%
from dataclasses import asdict

import pandas as pd

from lewm_core.curation.curate import curate, instructions
from lewm_core.curation.gap import gap
from lewm_core.curation.score import Criteria
from lewm_core.curation.selection import FULL_BY, PILOT_BY, Choice
from lewm_core.signals.pipeline import SourceSpec, packet
from lewm_core.stats import findings_curation, paper
from lewm_core.study import Study
from lewm_core.utils.workspace import relative
from lewm_core.viz import curation_figures, data_figures, tables
from lewm_core.viz.curation_browser import CurationBrowser
from lewm_core.viz.shown import say, show_table, tell

# %% [markdown]
# ## The criteria, and what makes the signals
#
# First the thresholds and the weights of the parts. Lengths are in frames, motion is in pixels of a 224-pixel image,
# coverage is a share of the frame, `max_variation` is the std of the mask's area over its mean, and `min_depth_range`
# is far over near depth. Then the backend that makes each signal.

# %%
study = Study(output, figures, profile, data)
spec = SourceSpec(data, n_candidates, seed, image_size, data_path, camera, depth_backend, tracks_backend, mask_backend,
                  weights, paper_backends, looks)
rules = Criteria.of(criteria, min_length=min_length, max_length=max_length)
choice = Choice(n_top, n_full, n_pilot, pilot_by, full_by, full_seed)
show_table(pd.Series(asdict(rules), name="value").rename_axis("criterion").astype(str).to_frame(), {})
show_table(pd.DataFrame({"backend": asdict(spec.backends), "why": spec.why}).fillna("none").rename_axis("signal"))

# %% [markdown]
# ## The whole curation
#
# This one cell does it all. The sections after it look at each step.
#
# 1. The metadata of every episode are read and filtered. No frame is decoded or rendered for this.
# 2. The signals of the episodes that pass are extracted and measured. Both are kept in a cache, so a second call
#    measures only what is new.
# 3. The episodes are scored and ranked. The best are kept. Of these, `full_by` and `pilot_by` say which are the full
#    set and the pilot. An edited selection is never overwritten unless `reselect` is set.
#
# An episode that cannot be read is left out and listed in a report with the reason. Too many of them stop the run.

# %%
found = curate(spec, study.workspace, rules, choice, max_bad_share, reselect, jobs, on)
tell(*findings_curation.metadata(found.candidates))
tell(*findings_curation.measured(len(found.measurements), found.newly_measured, found.absent, found.bad,
                                 relative(study.workspace.bad_episodes)))

# %% [markdown]
# ## The selection
#
# Where notebook 02 draws episodes afresh for every seed (its parameter `n_test`), it draws from all that were kept; the
# two sets below then show what a choice by score would be, and no run uses them.

# %%
path, readings = study.workspace.selection, {"full": FULL_BY, "pilot": PILOT_BY}
tell(*findings_curation.selection(study.selected_by, readings, found.edited, relative(path)))
show_table(found.sets().join(paper.sizes()).round(3))

# %%
show_table(found.selection.head(8).round(3))

# %% [markdown]
# ## Choose yourself
#
# With a running kernel: move a weight or a limit, and the episodes are ranked anew. Click an episode to see it with its
# signals. Tick *keep* and *pilot* to choose. *save* writes the selection file, which then counts as edited. An exported
# page shows the best episodes as a table instead.

# %%
CurationBrowser(found.measurements, lambda id: packet(spec, id, study.workspace.signals), path, rules, choice)

# %% [markdown]
# ## Tasks and cameras
#
# The instructions, the most frequent first. Then some episodes, each as its middle frame from every camera: first one
# episode of each instruction, then a second of each. The study itself uses one camera.

# %%
tasks = instructions(found.candidates)
say(f"{len(tasks)} different instructions. The most frequent:")
show_table(tasks.head(30))

# %%
about = study.about(**found.origin(spec), selection=study.selected_by)
shown = found.first_of_each_task(n_shown)
figure, table, absent = curation_figures.all_cameras(spec, shown)
study.show(figure, "all_cameras", table, about)
tell(*absent)

# %% [markdown]
# ## How the parts are distributed
#
# Over the episodes that passed the metadata filter; *accepted* means selected.

# %%
scored = found.scored
study.show(data_figures.score_distributions(scored[["score", *found.parts, "selected"]], accepted="selected"),
           "curation_scores", tables.curation_scores(scored, found.parts), about)

# %% [markdown]
# ## What was taken and what was not
#
# The middle frame of each episode: the best, with the score and its lowest part; the worst that were scored, likewise;
# and some that the metadata rejected, with the reason. A blue frame: selected.

# %%
figure, table = curation_figures.taken_and_not(found, spec, study.workspace.signals)
study.show(figure, "curation_contact_sheet", table, about)

# %% [markdown]
# ## What the signals found
#
# The last frame with the object mask (magenta) and the whole path of each visible point that moved, of the first
# episodes shown above that passed the metadata filter.

# %%
figure, table = curation_figures.signals_sheet(found, spec, study.workspace.signals, shown, jobs)
study.show(figure, "signals_sheet", table, about)

# %% [markdown]
# ## Which parts decide?
#
# The mean score of the selected episodes minus that of the others is a sum over the parts. Each contributes its weight
# × the difference of its mean, divided by the sum of the weights. *Full marks*: the share of the scored episodes whose
# part is 1.

# %%
shares = gap(scored, found.parts, rules.weights)
show_table(shares, {"weight": "{:g}", "full marks": "{:.0%}", "share of the gap": "{:+.0%}"}, precision=2, na_rep="–")
tell(*findings_curation.decided(shares, scored))

# %% [markdown]
# ## What we read into the paper
#
# - **Displacement** is the path length of a track over the episode, at the 95th percentile of the points that start on
#   the object, in pixels of a 224-pixel image. The paper's *total displacement* could also be a sum over points.
# - **Depth dynamic range** is far over near depth. A ratio has no unit, and a threshold of 2.0 makes sense for it. The
#   paper's depth is relative (inverse, up to scale and shift), for which no ratio is defined.
# - **Thresholds are not cuts**: an episode that misses one loses some or all of that part, and nothing of the others.
# - **Cloth**: the author's tool penalises folding. Here tasks about folding are rejected. Tasks about cloth get half of
#   the part for the verb.
# - **The pilot** is the best by score unless `pilot_by=hand`. The author's was chosen by eye for clean manipulation.
#   Either way the pilot is selected more strictly than the full set. So the two may differ in quality as well as in
#   size, and scale need *not* be the only thing that varies, as section 4.3 says it is. The table of the sets above
#   shows by how much they differ here.
# - **The full set** is the best `n_full` by score unless `full_by=random`. The paper says 100 of the top 300, but not
#   which. The author's post says that they were drawn at random. Such a set need not contain the pilot.
