# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · The mask sweep (Figure 2)
#
# **The paper claims** (section 4.2): as the region in which depth is supervised shrinks, the signal gets
# *monotonically* less useful, because scale-and-shift normalisation becomes unstable over few pixels.
#
# **How we test it.** The conditions differ only in the region: full frame (B), full frame with a weight of 5 inside the
# object mask (C4), inside the mask only, tight (C1) or dilated by 8 px (C2) or 20 px (C3) at 224 px. These are the runs
# of notebook 03, paired by seed. The paper's two figures cannot show the same runs: B is −11.5 % in Figure 1 and
# −10.5 % in Figure 2.
#
# **Where the paper disagrees with itself.** Its own numbers, in per cent, are C1 −7.5, C2 −5.8, C3 −2.3, then B −10.5.
# Among the masked conditions the benefit *falls as the region grows*, and then it is largest at full frame. That is not
# monotonic in the supervised area. Unstable normalisation would put C1 to C3 in the opposite order. So we also plot the
# benefit against the area, and look at the instability itself. Notebook 08 (`--study controls`) tests the explanation:
# with the same masks moved to random places, and with the normalisation over the full frame.

# %% tags=["parameters"]
profile = "quick"  # its name stands under every figure
data = "tabletop"  # tabletop (simulated), bridge, lerobot, hdf5, folder or lance
output = "runs/quick"  # folder of everything that is not a figure, from the repository's root
figures = "figures/quick"  # folder of the figures

# %%
import pandas as pd

from lewm_core.conditions import condition
from lewm_core.diagnostics import mask_normalisation
from lewm_core.stats import findings, paired, paper, power
from lewm_core.study import Study
from lewm_core.viz import paper_figures, style
from lewm_core.viz.shown import say, show_table, tell

# %%
study = Study(output, figures, profile, data)
family = list(paper.reported(2).index)  # the conditions of the paper's Figure 2
everything, skipped, pilot = study.results("pilot"), study.skipped("pilot"), study.data("pilot")
results = everything[everything.condition.isin(["A", *family])]
skipped = skipped[skipped.condition.isin(family)]
tell(f"Runs at hand: {', '.join(results.condition.unique())}.", *findings.not_chosen(family, results, skipped),
     *findings.not_run(skipped))

# %% [markdown]
# ## How much of the frame is supervised
#
# On the 56 × 56 grid on which the loss is computed, over all frames of the pilot episodes. This needs no runs. C4 reads
# the whole frame.

# %%
served = [name for name in family if not pilot.missing(condition(name).columns)]
regions = {name: mask_normalisation.supervised(pilot, condition(name)) for name in served}
areas = {name: float(inside.mean()) for name, inside in regions.items()}
show_table(pd.DataFrame({
    "supervised share of the frame": areas,
    "frames with an empty region": {name: int((~inside.any((1, 2))).sum()) for name, inside in regions.items()},
}).round(4))

# %% [markdown]
# ## Figure 2
#
# Rows, panels and grey bars are those of Figure 1 in notebook 03. The table and the sentences below it are about the
# paper's metric, the raw MSE, with the columns of the table there; *p* is corrected over the conditions of this figure.

# %%
changes, summary = paired.compare(results)
about = study.about("pilot", results)
table = paper_figures.study_table(changes, summary, 2, skipped, areas)
drawn = everything[everything.condition.isin(paper_figures.by_region(everything))]
study.show(paper_figures.figure2(everything, skipped), "figure2",
           pd.concat([table, paper_figures.effect_table(drawn, ["pilot"])]), about)

# %%
able = power.power_table(changes)
show_table(findings.effect_table(summary, able, figure=2), style.EFFECT, na_rep="–")
tell(*findings.effects(summary, figure=2))

# %% [markdown]
# ## Benefit against supervised area
#
# If the paper is right, the change of the raw MSE becomes more negative from left to right. The paper gives no area for
# each of its conditions, so its stars stand at ours.

# %%
study.show(paper_figures.benefit_against_area(summary, areas), "figure2_area", table, about)

# %%
by_area = sorted((name for name in served if name != "C4"), key=areas.get)  # C4 weighs pixels, and leaves none out
say("Mean changes against A, ordered by supervised area, the smallest first:")
tell(*findings.order_by_area(summary, by_area))

# %% [markdown]
# ## Is the normalisation less stable over a small region?
#
# That is the paper's explanation, and it can be measured without training. Over the region, the loss subtracts each
# frame's median (the *shift*) and divides by its mean absolute deviation (the *scale*). In an episode the camera is
# fixed and the scene changes slowly, so a stable estimate changes little from one frame to the next. Below: by how much
# it changes, divided by the scale. We take the median over the steps of each episode, then the mean over episodes.

# %%
instability = mask_normalisation.instability(pilot, {name: regions[name] for name in by_area})
study.keep("instability", instability)
steps = instability.groupby("condition")[["scale", "shift"]].mean().reindex(by_area)
show_table(steps.assign(area=pd.Series(areas, dtype=float)).round(3))
tell(*findings.steadiness(steps))

# %% [markdown]
# ## What this cannot decide
#
# C1 to C3 differ from B in three things at once: how many pixels are supervised, which ones, and over how many the
# depth is normalised. C1, C2 and C3 have nested masks of different shapes, so area is not all that varies among them.
# Notebook 08 (`--study controls`) separates the three.
