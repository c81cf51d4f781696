"""Sentences about probes: what the numbers say, or why there is nothing to say."""

import pandas as pd

from lewm_core.stats import findings_probes

PROBED = ["condition", "seed", "probe", "target", "tokens", "r2"]


def probes(**r2: tuple[float, float, float]) -> pd.DataFrame:
    """R² of two seeds by target, from CLS, emb and patch tokens of A; an MLP's is far off, and so is the base's."""
    rows = []
    for target, values in r2.items():
        for seed in (0, 1):
            for tokens, value in zip(("CLS", "emb", "patch"), values, strict=True):
                rows += [("A", seed, "linear", target, tokens, value + 0.02 * seed - 0.01),
                         ("A", seed, "mlp", target, tokens, -9.0), ("base", seed, "linear", target, tokens, 9.0)]
    return pd.DataFrame(rows, columns=PROBED)


def test_what_a_linear_probe_of_the_baseline_recovers():
    table = probes(depth=(0.5, 0.4, 0.6), tracks=(0.1, -0.05, 0.7))
    depth, tracks = findings_probes.recovered(table)
    assert depth == "depth: R² is 0.50 from CLS, 0.40 from emb, 0.60 from patch (patch − CLS: +0.10)."
    assert "−0.05 from emb" in tracks
    (gap,) = findings_probes.bottleneck(table)
    assert "+0.60 for tracks and +0.10 for depth" in gap and "larger for tracks in 2 of 2 seeds" in gap
    (none,) = findings_probes.bottleneck(table[table.target == "depth"])
    assert "cannot be compared" in none
    assert "Not run" in findings_probes.recovered(table[:0])[0]


def test_the_token_and_the_first_frame_are_weighed():
    def told(cls: float, patch: float, first: float) -> str:
        values = {"CLS": cls, "CLS + first frame": first, "patch": patch, "patch + first frame": max(patch, first)}
        table = pd.DataFrame({"tokens": list(values), "r2": list(values.values())})
        return findings_probes.token_or_target(table)[-1]

    assert told(0.1, 0.2, 0.6) == "Of the two, the missing first frame weighs more."
    assert told(0.1, 0.6, 0.2) == "Of the two, the token weighs more."
    assert "too little to tell" in told(-0.3, 0.05, 0.01)
    assert findings_probes.token_or_target(pd.DataFrame(columns=["tokens", "r2"])) == findings_probes.NO_TRACKS


def test_track_layouts_are_compared_where_they_were_run():
    rows = []
    for scale, conditions in (("pilot", {"A": 1.0, "D": 0.9, "D-fg": 0.99}), ("full", {"A": 1.0})):
        for condition, mse in conditions.items():
            rows += [(condition, scale, seed, "episode", "mse", mse * (1 + 0.01 * seed * (condition != "A")))
                     for seed in range(3)]
    results = pd.DataFrame(rows, columns=["condition", "scale", "seed", "split", "metric", "value"])
    skipped = pd.DataFrame([("D", "full", "No tracks.")], columns=["condition", "scale", "reason"])
    lines = findings_probes.track_layouts(results, skipped)
    assert lines[0].startswith("pilot, D against A: −9.1 %") and "3 seeds detect a change" in lines[0]
    assert lines[2].startswith("pilot, D-fg against D: +10.0 %")
    assert lines[3:] == ["Not run at the full scale: D. No tracks.", "Not run at the full scale: D-fg."]


def test_heads_against_predictions_that_look_at_nothing():
    floors = pd.DataFrame({"scale": "pilot", "condition": "D", "seed": [0, 1], "head": [1.0, 3.0],
                           "no motion": [2.0, 2.0], "training mean": [4.0, 4.0]})
    (line,) = findings_probes.against_floors(floors)
    assert line == "pilot, D: the head beats 'no motion' in 1 of 2 seeds, and the training mean in 2."
    assert "No run of D or D-fg" in findings_probes.against_floors(floors[:0])[0]
