"""What stands apart from the paper's claims: facts of its design or of ours, and what it suggests for future work.

Facts are counted, not estimated from runs, and say nothing of what a signal does; a suggestion of the paper is no claim
that it could be wrong about. Neither is counted among the claims that are supported or contradicted.
"""

from lewm_core.stats import judges, paper, table_judges
from lewm_core.stats.claim import Claim
from lewm_core.stats.judges import FULL, PILOT, below, improves

NONE = "no number"

FACTS = (
    Claim("paper-steps", "4.3", "the data scale is the only varying factor: of the paper's own runs, optimizer steps "
          "at its 20 epochs", "nothing else", "alone", table_judges.alone, "paper_steps"),
    Claim("only-scale", "4.3", "the data scale is the only varying factor: of our runs", "nothing else", "alone",
          table_judges.alone, "facts"),
    Claim("unseen", "3.4", "of windows held out at random, as the paper's, the frames that training has seen",
          "not told", "none", table_judges.leak, "leak"),
    Claim("mask-coverage", "4.2", "the object's mask covers 2 to 5 % of the frame", "2 to 5 %", "range",
          table_judges.coverage, "coverage"),
    Claim("on-object", "3.3", "foreground-biased queries put more visible tracks on the object",
          " → ".join(f"about {v}" for v in paper.ON_OBJECT_TRACKS.values()), "grows", table_judges.on_object,
          "on_object", how="of each episode the difference of the mean number per frame; then the mean over episodes "
          "with its t interval"),
    Claim("size-model", "3.2", f"the model has about {paper.MODEL_PARAMETERS // 10**6} M parameters",
          f"{paper.MODEL_PARAMETERS // 10**6} M", "count", table_judges.parameters("model", paper.MODEL_PARAMETERS),
          "parameters"),
    Claim("size-encoder", "3.2", f"its encoder has about {paper.ENCODER_PARAMETERS / 1e6:g} M parameters",
          f"{paper.ENCODER_PARAMETERS / 1e6:g} M", "count",
          table_judges.parameters("encoder", paper.ENCODER_PARAMETERS), "parameters"),
    *(Claim(f"size-{name}", "3.3", f"the {name} head has about {size // 1000} K parameters", f"{size // 1000} K",
            "count", table_judges.parameters(name, size), "parameters")
      for name, size in paper.HEAD_PARAMETERS.items()),
)

SUGGESTIONS = (
    *(Claim(f"patch-head-{scale}", "4.4", f"tracks help once their head reads patch tokens (D-patch, {scale})", NONE,
            "helps", improves("D-patch", scale), "patches") for scale in (PILOT, FULL)),
    *(Claim(f"patch-gain-{scale}", "4.4", f"tracks help more through patch tokens than through CLS ({scale})", NONE,
            "ordered", below("D-patch", "D", scale), "patches") for scale in (PILOT, FULL)),
    *(Claim(f"patch-predictor-{scale}", "7", f"tracks help a patch-aware predictor (D-pp against A-pp, {scale})", NONE,
            "helps", judges.patch_predictor("D-pp", scale), "patches") for scale in (PILOT, FULL)),
)
