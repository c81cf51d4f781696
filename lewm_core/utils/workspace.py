"""Every path that a run writes to or reads from, in one place."""

import os
from dataclasses import dataclass
from pathlib import Path

from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError, known
from lewm_core.utils.files import regular

ROOT = Path(__file__).resolve().parents[2]  # of the repository: notebooks/, figures/, runs/
FIGURES = ROOT / "figures"  # the committed figures; a run has its own in a folder below
SCALES = ("pilot", "full")
CONTROLS = "08_controls"  # the notebook that runs only with --study controls
RAN = {"pilot": "03_pilot_ablation", "full": "05_full_scale", "controls": CONTROLS}  # whose runs these are
MEASURED = {  # what the claims are judged by beside the results, and who writes it first
    "leak": "03_pilot_ablation", "instability": "04_mask_sweep", "facts": "05_full_scale",
    "probes": "06_cls_diagnostic", "capacity": "06_cls_diagnostic", "floors": "06_cls_diagnostic",
    "gradients": CONTROLS, "metrics": CONTROLS,
}
BASES = ("tabletop", "retrain", "random")  # what base.resolve knows by name; anything else is a checkpoint


def run_name(profile: str, data: str = "tabletop") -> str:
    """The folder's name under runs/: the profile's, followed by the data source's unless that is the tabletop."""
    return profile if data == "tabletop" else f"{profile}-{data}"


def relative(path: str | Path) -> str:
    """`path` relative to the repository where it lies inside, else absolute; with forward slashes."""
    path = Path(os.path.realpath(path))
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


@dataclass(frozen=True)
class Workspace:
    """The places of one run. Nothing is created here.

    output: folder of everything that is not a figure.
    figures: folder of the figures.
    Relative paths resolve against the repository root, wherever the process was started.
    """

    output: Path
    figures: Path

    def __post_init__(self):
        object.__setattr__(self, "output", Path(os.path.realpath(ROOT / self.output)))
        object.__setattr__(self, "figures", Path(os.path.realpath(ROOT / self.figures)))

    @classmethod
    def of_run(cls, profile: str, data: str = "tabletop", output: str | Path | None = None) -> "Workspace":
        """Where a run goes: runs/NAME and figures/NAME, which git ignores, or all of it in `output`."""
        if output is not None:
            output = Path(os.path.realpath(output))
            return cls(output, output / "figures")
        name = run_name(profile, data)
        return cls(Path("runs") / name, FIGURES / name)

    @property
    def selection(self) -> Path:
        """The selected episodes; a person may edit it."""
        return self.output / "selection.csv"

    @property
    def scores(self) -> Path:
        """Every candidate with its score and parts."""
        return self.output / "scores.csv"

    @property
    def source(self) -> Path:
        """Which episodes notebook 01 opened."""
        return self.output / "source.json"

    @property
    def bad_episodes(self) -> Path:
        """Episodes that could not be read, each with the stage and the reason."""
        return self.output / "bad_episodes.csv"

    @property
    def dataset_file(self) -> Path:
        """The frames and signals of every episode of the study."""
        return self.output / "dataset.h5"

    @property
    def sets(self) -> Path:
        """Which episodes of `dataset_file` are the pilot, the full set and the pool of the controls, of all seeds."""
        return self.output / "sets.csv"

    @property
    def draws(self) -> Path:
        """What each seed drew: seed, episode, role. No rows where all seeds share the pilot and the full set."""
        return self.output / "draws.csv"

    def results(self, scale: str) -> Path:
        """scale: pilot, full or controls (all studies, written by notebook 05; columns as `controls.results` says)."""
        return self.output / f"results_{known((*SCALES, 'controls'), scale, 'scale')}.csv"

    def planned(self, scale: str) -> Path:
        """The runs that were asked for at this scale: condition, scale, seed and the run's folder; see `status`."""
        return self.output / f"plan_{known((*SCALES, 'controls'), scale, 'scale')}.csv"

    def skipped(self, scale: str) -> Path:
        """Conditions that could not be run at this scale, each with the reason."""
        return self.output / f"skipped_{known((*SCALES, 'controls'), scale, 'scale')}.csv"

    def measured(self, name: str) -> Path:
        """What the claims are judged by beside the results: the table of that name in `evidence.Evidence`.

        name: a key of MEASURED.
        """
        return self.output / f"measured_{known(MEASURED, name, 'measurement')}.csv"

    @property
    def runs(self) -> Path:
        """One file or folder for each finished condition × seed."""
        return self.output / "runs"

    @property
    def cache(self) -> Path:
        """What may be deleted: it is made again."""
        return self.output / "cache"

    @property
    def signals(self) -> Path:
        """What was opened and extracted of each episode."""
        return self.cache / "signals"

    @property
    def notebooks(self) -> Path:
        """Executed notebooks, .ipynb and .html."""
        return self.output / "notebooks"

    @property
    def stamps(self) -> Path:
        """What each finished notebook was made of, so that it is not run again."""
        return self.output / "stamps"

    @property
    def jupyter(self) -> Path:
        """What Jupyter, IPython and Matplotlib would otherwise write to the home folder."""
        return self.output / ".jupyter"

    @property
    def dashboard(self) -> Path:
        """The dashboard as a page, which notebook 07 writes."""
        return self.output / "dashboard.html"

    @property
    def summary(self) -> Path:
        """What the last run did."""
        return self.output / "run.json"

    def need(self, path: str | Path, made_by: str = "01_curation") -> Path:
        """`path`, or an InputError that names the notebook to run first; Damaged where it is not what that wrote.

        A person may edit the selection, so that one is not compared.
        """
        path = Path(path)
        again = f"./run_all.sh --only {made_by.split('_')[0]} (with the same options)."
        if path != self.selection:
            sealed.check(path, f"It is damaged, or was edited. Make it again: {again}")
        if not path.exists():
            raise InputError(
                relative(path),
                "no such file",
                f"what notebook {made_by} writes",
                f"Run that first: {again}",
            )
        return regular(path)
