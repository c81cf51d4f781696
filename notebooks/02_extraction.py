# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 02 · Signals: what the heads are to predict (sections 3.1 and 3.3)
#
# **The paper says**: depth comes from Video-Depth-Anything, 400 point tracks from CoTracker3, object masks from SAM 3;
# the 3D centroid and a 10-D shape descriptor follow from masked depth. All are computed once and packed into HDF5
# beside pixels, actions and observations. A uniform grid puts about 5 visible tracks on the object, a
# foreground-biased one about 47.
#
# **What we do.** Each signal has a *backend*, chosen by name. On the simulated tabletop that is the simulator's own
# truth. On real frames these are the paper's, where their weights are (`--weights DIR`), else `classical`: OpenCV
# tracks and a mask from what is moved, without weights and without depth. Notebook 01 says which and why. A signal that
# nobody can make is left out of the file, with the reason; nothing is imitated. The conditions that need it are then
# skipped in the notebooks that follow.
#
# How good `classical` and every backend with weights here are, we measure where truth exists: on simulated episodes.

# %% tags=["parameters"]
profile = "quick"  # what figures say made them
data = "tabletop"  # tabletop (simulated) or bridge
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures"  # folder of the figures
n_quality = 6  # simulated episodes on which backends are measured
quality_size = 224  # px of these
widget_episodes = 4  # episodes to look through below
study = "main"  # main, or controls: also the pool of episodes that the controls need
jobs = 0  # parallel processes; 0: one a core

# %%
import time
from dataclasses import asdict

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from lewm_core import dataset
from lewm_core.curation.selection import chosen_by, read_selection
from lewm_core.dataset.targets import displacements
from lewm_core.experiments import controls
from lewm_core.signals import (
    CLASSICAL,
    FOREGROUND_SHARE,
    GRID,
    SIMULATOR,
    extract,
    geometry,
    on_object,
    quality,
    with_weights,
)
from lewm_core.signals.pipeline import SourceSpec, packets
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.stats import paper
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import write_csv
from lewm_core.utils.provenance import collect
from lewm_core.utils.workspace import Workspace, relative
from lewm_core.viz import data_figures, images, paper_figures, widgets

started = time.time()
workspace = Workspace(output, figures)
spec = SourceSpec.load(workspace.need(workspace.source))
selection = read_selection(workspace.need(workspace.selection))
if spec.data != data:
    raise InputError(relative(workspace.source), f"data {spec.data}", f"data {data}", "Run 01_curation with it first.")
source, cache = spec.open(), workspace.cache / "signals"
pilot, full = (selection[selection[flag]].episode.tolist() for flag in ("pilot", "full"))
chosen = chosen_by(workspace.selection)
display(Markdown(f"Source: {source.name}, {spec.image_size} px, fingerprint {source.fingerprint}. Pilot: {len(pilot)} "
                 f"episodes, by {chosen['pilot_by']}; full: {len(full)}, by {chosen['full_by']}."))

# %% [markdown]
# ## The two datasets
#
# One file per scale, episode after episode. The first five columns are the public LeWM contract; any LeWM tool trains
# on the file as it is. Signals come from the cache that 01 filled, where it did.

# %%
kept, failed = {}, {}


def read(ids: list[str]):
    """The packets of `ids`; those of the pilot stay in memory."""
    for packet in packets(spec, ids, cache, jobs, lambda id, error: failed.update({id: error}), "episodes"):
        if packet[0].id in pilot:
            kept[packet[0].id] = packet
        yield packet
    if failed:
        raise InputError(relative(workspace.selection), f"{len(failed)} episodes that cannot be read",
                         "episodes of the source", f"The first of them: {next(iter(failed.values()))}")


made = {"source": source.name, "fingerprint": source.fingerprint, "backends": asdict(spec.backends), "profile": profile,
        "selection": chosen}
dataset.pack(workspace.dataset("full"), full, read, **made, scale="full")
list(read([id for id in pilot if id not in kept]))
dataset.write(workspace.dataset("pilot"), (kept[id] for id in pilot), **made, scale="pilot")

# %%
files = {scale: dataset.load(workspace.dataset(scale)) for scale in ("pilot", "full")}  # an error if one is wrong
contract = pd.DataFrame([
    {"column": c.name, "public contract": c.required, "dtype": c.dtype,
     **{scale: " × ".join(map(str, d[c.name].shape)) if c.name in d.columns else "–" for scale, d in files.items()}}
    for c in dataset.COLUMNS.values()]).set_index("column")
display(contract)
display(Markdown("\n".join(
    f"- `{relative(workspace.dataset(scale))}` keeps the contract: {len(d['ep_len'])} episodes, {len(d['pixels'])} "
    f"frames (the paper: {paper.EPISODES[scale]} and {paper.FRAMES[scale]}); {d.nan_actions} action values are NaN and "
    "become 0 when read." for scale, d in files.items())))

# %% [markdown]
# ## The pool of the controls
#
# The paper's pilot and full set differ in size *and* in selection, and each is judged by episodes of its own. The
# controls (`--study controls`) need both kinds of selection at every size, judged by the same episodes: first a test
# set is drawn from all scored episodes, then of the others the best by score, and as many at random. An edited
# selection does not enter here.

# %%
if study == "controls":
    sizes = pick(controls.PRESETS, profile, "profile with controls")
    scores = pd.read_csv(workspace.need(workspace.scores), dtype={"episode": str})
    pool = controls.choose(scores, sizes, np.random.default_rng(0))
    dataset.write(workspace.dataset("pool"), read(pool.episode.tolist()), **made, scale="pool")
    write_csv(workspace.pool, pool)
    parts = {"best by score": pool.best > 0, "random": pool.random > 0, "in both": (pool.best > 0) & (pool.random > 0),
              "test": pool.test}
    display(pd.DataFrame([{"set": name, "episodes": rows.sum(), "mean score": pool.score[rows].mean()}
                          for name, rows in parts.items()]).set_index("set").round(3))
    display(Markdown(f"`{relative(workspace.dataset('pool'))}`: {len(pool)} episodes; which is which: "
                     f"`{relative(workspace.pool)}`."))
else:
    display(Markdown("Not made: `study` is not `controls`."))

# %% [markdown]
# ## One episode, all its signals
#
# The paper's packet view: time runs to the right.

# %%
episode, signals = kept[pilot[0]]
provenance = collect(profile=profile, data=data, fingerprint=source.fingerprint, source=spec.public(),
                     selection=chosen, backends=asdict(spec.backends), duration_s=round(time.time() - started, 1))
caption = paper_figures.caption(provenance)
figure = images.packet_view(episode, signals, caption=caption)
per_frame = {}
if signals.depth is not None:
    per_frame["median depth"] = np.median(signals.depth, (1, 2))
if signals.mask is not None:
    per_frame["mask coverage"] = signals.mask.mean((1, 2))
    if signals.tracks_fg is not None:
        per_frame["visible tracks on the object"] = on_object(signals.tracks_fg, signals.visible_fg, signals.mask)
long = pd.DataFrame(per_frame).rename_axis("frame").reset_index().melt("frame", var_name="metric")
paper_figures.save_figure(figure, workspace.figures / "packet_view", paper_figures.tidy(long, "value", "", episode=episode.id),
                  provenance)
display(figure)

# %% [markdown]
# ## Audit
#
# Over the full set: what made each signal; in what share of the frames (of the pixels for depth, of the points for
# tracks) it is valid; and the range of a number that should look familiar.

# %%
def distance_moved(d: dataset.Data, tracks: str) -> np.ndarray:
    """(N, 400) distance of each point from its place in its episode's first frame, px at 224."""
    return np.linalg.norm(displacements(d, tracks), axis=-1) * geometry.REFERENCE_SIZE


full_set, rows = files["full"], []
for name, valid, what, measure in (
    ("depth", None, "distance of a pixel (m in the simulator)", lambda d: d["depth"]),
    ("mask", None, "share of the frame", lambda d: d["mask"].mean((1, 2))),
    ("tracks", "visible", "way from frame 0 (px at 224)", lambda d: distance_moved(d, "tracks")),
    ("tracks_fg", "visible_fg", "way from frame 0 (px at 224)", lambda d: distance_moved(d, "tracks_fg")),
    ("centroid", "centroid_valid", "distance of the centroid", lambda d: np.linalg.norm(d["centroid"], axis=1)),
    ("shape", "shape_valid", "largest extent e1", lambda d: d["shape"][:, 3]),
):
    row = {"signal": name, "made by": full_set.made["made_by"].get(name, "–"), "measured": what}
    if not full_set.missing([name]):
        values = measure(full_set)
        keep = full_set[valid].astype(bool) if valid else values > 0
        low, middle, high = np.percentile(values[keep], [0, 50, 100]) if keep.any() else [np.nan] * 3
        row |= {"valid": keep.mean(), "least": low, "median": middle, "greatest": high}
    rows.append(row)
table = pd.DataFrame(rows).set_index("signal")
display(table.style.format({"valid": "{:.1%}"}, precision=3, na_rep="–"))
if reasons := full_set.made["missing"]:
    display(Markdown("Missing:\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in reasons.items())))

# %% [markdown]
# ## How good are the backends?
#
# Measured against the simulator's truth, always on simulated episodes, whatever the data of this run: only there truth
# exists. `classical`, and every backend whose weights are here. The episodes are the first in which the robot does what
# it set out to do; in others there may be no moved object to find. Most points of a grid lie on what never moves, so
# the *moving* ones (more than 2 px from where they began, in truth; many are the gripper's) and those that begin on the
# *object* are also counted alone; *staying* points are visible in every frame. Tracks: the TAP-Vid metrics (AJ: average
# Jaccard), in px at 224. Depth: after one scale and one shift for the clip. `quality.compare` defines each number.

# %%
simulated = Tabletop(10 * n_quality, spec.seed, quality_size)
good = [info.id for i, info in enumerate(simulated.infos()) if simulated.draw(i)[1].outcome == "good"][:n_quality]
candidates = [CLASSICAL, *with_weights(spec.settings)]
points, measured = [], []
for id in good:
    shown = simulated.load(id)
    truth = extract(shown, SIMULATOR, cache, simulated.fingerprint)
    to_224 = geometry.REFERENCE_SIZE / quality_size
    moving = np.linalg.norm(truth.tracks - truth.tracks[0], axis=-1).max(0) * to_224 > quality.MOVING
    for backends in candidates:
        found = extract(shown, backends, cache, simulated.fingerprint, spec.settings)
        measured.append(quality.compare(found, truth))
        if found.tracks is None:
            continue
        error = np.linalg.norm(found.tracks - truth.tracks, axis=-1) * to_224
        for label, chosen in (("all points", moving | True), ("moving points", moving)):
            points.append(pd.DataFrame({"backend": f"{backends.tracks}, {label}", "error": error[1:, chosen].ravel(),
                                        "visible": found.visible[1:, chosen].ravel(),
                                        "visible_true": truth.visible[1:, chosen].ravel()}))
points, per_episode = pd.concat(points), pd.concat(measured)
quality_table = quality.summary(measured)
display(quality_table.T.style.format("{:.3f}", na_rep="–"))

# %%
simulated_provenance = provenance | {"data": simulated.name, "fingerprint": simulated.fingerprint,
                                     "source": {"episodes": good, "image_size": quality_size},
                                     "backends": [asdict(backends) for backends in candidates]}
figure = data_figures.track_quality(points, paper_figures.caption(simulated_provenance)
                              + f" · {len(good)} simulated episodes of {quality_size} px")
numbers = paper_figures.tidy(per_episode, "value", "", data=simulated.name)
paper_figures.save_figure(figure, workspace.figures / "track_quality", numbers, simulated_provenance)
display(figure)

# %%
ours = per_episode[per_episode.made_by == "classical"]
iou = ours[ours.metric == "iou"].value
tracks = quality_table.loc["classical"]
overlap = (f"The mask's overlap with the true one (IoU) is {iou.mean():.2f} on average, from {iou.min():.2f} to "
           f"{iou.max():.2f} by episode." if iou.notna().any() else "")
display(Markdown(
    f"`classical`, on {len(good)} simulated episodes at {quality_size} px, means over episodes. Median error of points "
    f"that stay visible: {tracks['staying: median error (px)']:.2f} px, of those among them that move: "
    f"{tracks['moving, staying: median error (px)']:.2f} px; of points on the object, wherever they are truly visible: "
    f"{tracks['object: median error (px)']:.2f} px, and {tracks['object: found']:.0%} of them are called visible. "
    f"{overlap}"))

# %% [markdown]
# ## Visible tracks on the object
#
# The paper (section 4.4) suspected that D suffered from too few tracks on the object, about 5 a frame, and raised them
# to about 47 by placing 60 % of the query points inside the object region. Here, over the full set:

# %%
layouts = {"uniform": ("tracks", "visible"), "foreground": ("tracks_fg", "visible_fg")}
missing = full_set.missing(["mask", "tracks", "tracks_fg"])
if missing:
    display(Markdown("Cannot be counted: " + " ".join(missing.values())))
else:
    counts = []
    for i, id in enumerate(full_set["episode_id"]):
        frames = full_set.episode(i)
        mask = full_set["mask"][frames].astype(bool)
        for layout, (tracks, visible) in layouts.items():
            n = on_object(full_set[tracks][frames], full_set[visible][frames].astype(bool), mask)
            counts.append(pd.DataFrame({"episode": id, "frame": range(len(n)), "layout": layout, "count": n}))
    counts = pd.concat(counts)
    figure = data_figures.on_object_counts(counts, caption)
    paper_figures.save_figure(figure, workspace.figures / "on_object_tracks",
                      paper_figures.tidy(counts, "count", "visible tracks on the object", scale="full"), provenance)
    display(figure)
    mean, inside = counts.groupby("layout")["count"].mean(), FOREGROUND_SHARE * GRID**2
    display(Markdown(
        f"Mean over frames: {mean['uniform']:.1f} with uniform queries (the paper: about "
        f"{paper.ON_OBJECT_TRACKS['uniform']}), {mean['foreground']:.1f} with foreground-biased ones (about "
        f"{paper.ON_OBJECT_TRACKS['foreground']}). A uniform grid's count is the size of the objects: the mask covers "
        f"{full_set['mask'].mean():.1%} of the frame here, that is {GRID**2 * full_set['mask'].mean():.0f} of "
        f"{GRID**2} points; the paper gives 2 to 5 % for its masks. Of the {inside:.0f} points that are placed inside "
        f"the object, {mean['foreground'] / inside:.0%} stay visible on it on average here; the paper's count means "
        f"about {paper.ON_OBJECT_TRACKS['foreground'] / inside:.0%}."))

# %% [markdown]
# ## Where the masked conditions supervise
#
# Share of the 56×56 grid that the loss reads, by condition: the mask is reduced to the grid and then dilated.

# %%
if missing := full_set.missing(["mask"]):
    display(Markdown("Cannot be said: " + missing["mask"]))
else:
    tight = geometry.to_supervision(full_set["mask"].astype(bool))
    area = pd.DataFrame([
        {"condition": name, "dilation (px at 224)": px_at_224, "mean share of the frame": grown.mean(),
         "frames with nothing": (~grown.any((1, 2))).mean()}
        for name, px_at_224 in (("C1", 0), ("C2", 8), ("C3", 20))
        for grown in [geometry.dilate(tight, px_at_224)]]).set_index("condition")
    display(area.style.format({"mean share of the frame": "{:.1%}", "frames with nothing": "{:.1%}"}))

# %% [markdown]
# ## Look for yourself
#
# Where a kernel runs, these are live: pick an episode and a frame, set the trail's length, show only what lies on the
# object. In an exported page, a slider over pictures stands in.

# %%
offered = {id: kept[id] for id in pilot[:widget_episodes]}
widgets.inspect_tracks(offered)

# %%
widgets.inspect_masks(offered)

# %% [markdown]
# ## Where the paper leaves room
#
# - Its depth is relative (up to scale and shift per clip, and drifting on the static background); the simulator's is
#   metric and exact. So our depth conditions see a *cleaner* signal than the author's. Where a network's depth is used
#   here, its inverse depth is turned over (0 is the clip's nearest pixel, 1 the furthest); it has no ratio of far to
#   near and gives no centroid or shape.
# - The same holds for tracks and masks on the tabletop: any lack of benefit here is not due to bad extraction.
# - The shape descriptor's ten components are named but not defined; ours are in `signals.geometry.shape_descriptor`.
# - The author's file also has a column `contact`, which the paper never uses; ours has none.
# - Bridge's cameras come without intrinsics, so centroid and shape could not be computed there even with depth.
