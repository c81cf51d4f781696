"""What the size of the supervised region does to the depth loss, without training: the paper's explanation of its mask
sweep (section 4.2), measured. Areas are shares of the 56 × 56 map; regions are drawn, nested in area, many times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lewm_core.checkpoints import checkpoint, hub
from lewm_core.conditions import Condition, condition
from lewm_core.dataset import Data, targets
from lewm_core.diagnostics.retrieval import Corpus
from lewm_core.experiments.sweep import load_model, result
from lewm_core.heads import build_heads
from lewm_core.losses import depth_loss, shift_and_scale

NORMAL_COLUMNS = ["kind", "area", "shift_variance", "scale_variance", "scale_mean", "episode", "shift", "scale"]
GRADIENT_COLUMNS = ["kind", "area", "normalised", "norm", "over_draws", "episode"]
DRAWS = 16  # regions of each area and kind
EVERY = 4  # frames apart
NORMALISED = ("region", "frame")  # over which pixels the loss normalises: C1 to C3, and their full-frame controls


def supervised(data: Data, condition: Condition) -> np.ndarray:
    """(N, 56, 56) bool: where a depth condition's loss compares, in every frame of `data`; C4's is the full frame."""
    (term,) = condition.terms
    if term.dilation is None:
        return np.ones(data["depth"].shape, bool)
    return targets.supervised_region(term, data)


def supervised_shares(data: Data, names: Iterable[str]) -> dict[str, float]:
    """Mean share of the frame that each of the named depth conditions supervises, the smallest first.

    A name whose signal `data` lacks is left out, and so is a control: it has the area of the condition that it varies.
    """
    rows = [condition(name) for name in names]
    rows = [row for row in rows if row.terms and row.control_of is None and not data.missing(row.columns)]
    shares = {row.name: float(supervised(data, row).mean()) for row in rows}
    return dict(sorted(shares.items(), key=lambda item: item[1]))


def _compact(side: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    y, x = np.indices(side)
    centre = rng.uniform(0, side)
    distance = np.hypot(y + 0.5 - centre[0], x + 0.5 - centre[1])
    return np.argsort(distance + 1e-6 * rng.random(side), axis=None)


def _scattered(side: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(side[0] * side[1])


ORDERS = {"compact": _compact, "scattered": _scattered}


def regions(n: int, side: tuple[int, int], areas: Sequence[float], kind: str, rng: np.random.Generator) -> np.ndarray:
    """(areas, n, h, w) bool: for each of n frames one random region of every area, the smaller inside the larger.

    kind: compact (the pixels nearest to a random place, as a mask is) or scattered (random pixels: as few, but from
    all over the frame). The number of pixels is exact: area · h · w, rounded, at least 1.
    """
    rank = np.empty((n, side[0] * side[1]), np.int64)
    for row in rank:
        row[ORDERS[kind](side, rng)] = np.arange(len(row))
    counts = [max(1, round(area * rank.shape[1])) for area in areas]
    return np.stack([(rank < count).reshape(n, *side) for count in counts])


def normalisation_noise(depth: np.ndarray, areas: Sequence[float], rng: np.random.Generator, draws: int,
                        kind: str) -> pd.DataFrame:
    """How much the loss's shift and scale depend on which region of a given area they are estimated from.

    depth: (n, h, w) real targets. Returns one row an area: kind, area, and the variance over `draws` regions, mean
    over frames, of the shift and of the scale, over the squared full-frame scale: shift_variance, scale_variance;
    scale_mean is the mean scale over the full-frame one. Frames without any depth range are left out.
    """
    frames = torch.from_numpy(np.ascontiguousarray(depth, dtype=np.float32))
    _, whole = shift_and_scale(frames)
    frames, whole = frames[whole[:, 0] > 0], whole[whole[:, 0] > 0]
    drawn = [torch.from_numpy(regions(len(frames), frames.shape[1:], areas, kind, rng)) for _ in range(draws)]
    rows = []
    for a, area in enumerate(areas):
        found = [shift_and_scale(frames, region[a]) for region in drawn]
        shift, scale = (torch.stack([pair[i] for pair in found]) / whole for i in (0, 1))  # (draws, n, 1)
        rows.append({"kind": kind, "area": area, "shift_variance": shift.var(0).mean().item(),
                     "scale_variance": scale.var(0).mean().item(), "scale_mean": scale.mean().item()})
    return pd.DataFrame(rows)


def frame_to_frame(depth: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """How much the loss's shift and scale change from one frame of an episode to the next: little, if they are stable.

    depth (n, h, w), inside (n, h, w) bool: one episode's targets and the region they are normalised over. Returns the
    median absolute change of scale and of shift, and value, that of their sum, all over the episode's median scale:
    so much of a pixel's normalised target changes although nothing moved there. NaN where no two frames in a row have
    a region with any depth range.
    """
    found = shift_and_scale(torch.from_numpy(np.ascontiguousarray(depth, np.float32)),
                            torch.from_numpy(np.ascontiguousarray(inside)))
    shift, scale = (x[:, 0].double().numpy() for x in found)
    known = inside.any((1, 2)) & (scale > 0)
    shift, scale = (np.where(known, x, np.nan) for x in (shift, scale))
    steps = np.abs(np.diff([scale, shift]))
    steps = steps[:, np.isfinite(steps).all(0)]
    if not steps.size:
        return dict.fromkeys(("scale", "shift", "value"), np.nan)
    of_scale, of_shift, both = np.median([*steps, steps.sum(0)], axis=1) / np.nanmedian(scale)
    return {"scale": float(of_scale), "shift": float(of_shift), "value": float(both)}


def instability(data: Data, regions: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """`frame_to_frame` of every episode, normalised over the regions of several conditions.

    regions: condition -> (N, 56, 56) bool, as from `supervised`. Returns columns condition, episode (its number),
    scale, shift, value; episodes in which it cannot be told have no row.
    """
    rows = []
    for name, inside in regions.items():
        for i in range(len(data["ep_len"])):
            own = data.episode(i)
            rows.append({"condition": name, "episode": i, **frame_to_frame(data["depth"][own], inside[own])})
    return pd.DataFrame(rows, columns=["condition", "episode", "scale", "shift", "value"]).dropna()


def gradient_noise(depth: np.ndarray, inputs: Tensor, head: Callable[[Tensor], Tensor], areas: Sequence[float],
                   rng: np.random.Generator, draws: int, kind: str) -> pd.DataFrame:
    """How noisy the depth loss's gradient is when only a region of each frame is supervised.

    depth: (n, h, w) real targets. inputs: what `head` turns into a predicted map (n, h, w): emb (n, D) and a fixed
    DepthHead, or a map and the identity. The gradient g of a frame's loss is taken with respect to its input.
    Returns one row an area and way to normalise (NORMALISED): kind, area, normalised, norm (mean |g|) and
    over_draws (variance of g over regions, over its squared mean: 1 means as much noise as signal; both averaged over
    frames; the squared mean is freed from the variance that is left in it).
    """
    target = torch.from_numpy(np.ascontiguousarray(depth, dtype=np.float32))
    rows = []
    n = len(target)
    drawn = [torch.from_numpy(regions(n, target.shape[1:], areas, kind, rng)) for _ in range(draws)]
    for a, area in enumerate(areas):
        for normalised in NORMALISED:
            gradients = []
            for region in drawn:
                leaf = inputs.detach().clone().requires_grad_()
                over = {"region": region[a]} if normalised == "region" else {"weight": region[a].float()}
                loss = n * depth_loss(head(leaf), target, **over)  # the sum over frames: each gradient is its own
                gradients.append(torch.autograd.grad(loss, leaf)[0].flatten(1))
            g = torch.stack(gradients)  # (draws, n, D)
            rows.append({"kind": kind, "area": area, "normalised": normalised, "norm": g.norm(dim=-1).mean().item(),
                         "over_draws": _noise(g)})
    return pd.DataFrame(rows)


def noise_by_episode(data: Data, emb: Tensor, head: Callable[[Tensor], Tensor], areas: Sequence[float],
                     rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`normalisation_noise` and `gradient_noise` of each episode, both kinds of region, with a column episode.

    emb: (N, D) of every frame of `data`, which `head` turns into maps; every EVERY-th is used. To
    the first table it adds shift and scale: the variances over the squared mean scale of regions that large, since
    that is what the loss divides by.
    """
    normal, gradient = [], []
    for i in range(len(data["ep_len"])):
        rows = np.arange(len(emb))[data.episode(i)][::EVERY]
        for kind in ORDERS:
            normal.append(normalisation_noise(data["depth"][rows], areas, rng, DRAWS, kind).assign(episode=i))
            gradient.append(gradient_noise(data["depth"][rows], emb[torch.from_numpy(rows)], head, areas, rng, DRAWS,
                                           kind).assign(episode=i))
    normal = pd.concat(normal, ignore_index=True)
    squared = normal.scale_mean**2
    normal = normal.assign(shift=normal.shift_variance / squared, scale=normal.scale_variance / squared)
    return normal, pd.concat(gradient, ignore_index=True)


def noise_of_run(results: pd.DataFrame, folder: Path, data: Data,
                 areas: Sequence[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`noise_by_episode` on the episodes that the run of B with seed 0 was trained on, with its encoder and depth head.

    results: of finished runs; folder: where they lie; data: holds the run's episodes. Empty tables where that run does
    not exist.
    """
    found = results[(results.condition == "B") & (results.seed == 0)]
    if found.empty:
        return pd.DataFrame(columns=NORMAL_COLUMNS), pd.DataFrame(columns=GRADIENT_COLUMNS)
    run = found["run"].iloc[0]
    trained = data.select(result(folder, run)["episodes"])
    encoder, _ = load_model(found, folder, "B", 0)
    heads = build_heads([condition("B").terms[0].head], encoder.config.dim, 0)
    checkpoint.load_heads(hub.find(folder / run), heads)
    (head,) = heads.values()
    return noise_by_episode(trained, Corpus.of(encoder, trained).emb, head.eval(), areas, np.random.default_rng(0))


def _noise(g: Tensor) -> float:
    """Variance over the first axis over the squared mean, of vectors along the last; both averaged over the second."""
    variance = g.var(0).sum(-1).mean()
    signal = g.mean(0).square().sum(-1).mean() - variance / len(g)
    return (variance / signal).item() if signal > 0 else float("inf")
