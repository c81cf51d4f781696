"""What the paper reports: every number of it that a figure or a sentence of ours is set beside, in this one place.

Source: K. Hopkins, "Explicit Vision Signals as Auxiliary Supervision for World Model Fine-Tuning", April 2026.
Changes are in per cent of condition A's validation next-latent MSE; negative is better. A is 0 by definition and
has no row. The paper gives no interval and no value per seed.
"""

import pandas as pd

BASELINE = "A"

REPORTED = pd.DataFrame(
    [
        ("B", 1, "pilot", -11.5, "4.1"),
        ("C4", 1, "pilot", -14.5, "4.1"),
        ("D", 1, "pilot", -4.9, "4.1"),
        ("E", 1, "pilot", -14.0, "4.1"),
        ("F", 1, "pilot", -3.0, "Figure 1; section 4.1 says 'statistically indistinguishable from baseline'"),
        ("G", 1, "pilot", -6.1, "4.1"),
        ("B", 2, "pilot", -10.5, "4.2"),
        ("C1", 2, "pilot", -7.5, "4.2"),
        ("C2", 2, "pilot", -5.8, "4.2"),
        ("C3", 2, "pilot", -2.3, "4.2"),
        ("C4", 2, "pilot", -10.9, "4.2"),
        ("B", 3, "pilot", -11.5, "4.3"),
        ("D", 3, "pilot", -4.9, "4.3"),
        ("E", 3, "pilot", -14.0, "4.3"),
        ("B", 3, "full", 1.0, "4.3"),
        ("D", 3, "full", 0.2, "4.3"),
        ("E", 3, "full", 1.3, "4.3"),
    ],
    columns=["condition", "figure", "scale", "change", "section"],
)

EPISODES = {"pilot": 13, "full": 100}  # section 3.1
FRAMES = {"pilot": 334, "full": 2920}  # section 3.1
BASELINE_MSE_RATIO = 4.0  # A's MSE, pilot over full; "approximately 4×", section 4.3
FULL_SCALE_BAND = 1.3  # per cent; "all auxiliary signals collapse to within ±1.3 %", abstract
PILOT_STEPS = 340  # optimizer steps of a pilot run, about: 20 epochs of its windows in batches of 16; section 3.4
MASK_COVERAGE = (0.02, 0.05)  # "object masks covering only 2–5% of pixels"; section 4.2
ENCODER_PARAMETERS = 7_600_000  # "~7.6M params"; section 3.2
MODEL_PARAMETERS = 15_000_000  # "approximately 15M"; section 3.2
HEAD_PARAMETERS = {"depth": 400_000, "tracks": 135_000, "centroid": 37_000}  # about; section 3.3
ON_OBJECT_TRACKS = {"uniform": 5, "foreground": 47}  # visible tracks on the object per frame, about; section 3.3


def reported(figure: int, scale: str = "pilot") -> pd.Series:
    """The paper's changes (per cent, by condition) in Figure 1, 2 or 3 at `scale`; empty where it reports none."""
    rows = REPORTED[(REPORTED.figure == figure) & (REPORTED.scale == scale)]
    return rows.set_index("condition").change


def sizes() -> pd.DataFrame:
    """How large the paper's sets are: rows pilot and full, columns "paper: episodes" and "paper: frames"."""
    return pd.DataFrame({"paper: episodes": EPISODES, "paper: frames": FRAMES})
