"""The command line of `run_all.sh`: options in, one checked Plan out, exit codes back.

Only the standard library is imported until the options are known, so that `--help` answers at once anywhere.
"""

import argparse
import sys
from pathlib import Path

from lewm_core.runner.arguments import FAILED, OK, Parser, answer, check, whole
from lewm_core.sources.registry import SOURCES
from lewm_core.utils import executors

EPILOG = """\
other commands:
  ./run_all.sh test [PYTEST OPTION ...]    run the test suite
  ./run_all.sh fuzz [OPTION ...]           try damaged, hostile and interrupted inputs (its options: --help)
  ./run_all.sh lab [JUPYTER OPTION ...]    open the notebooks in JupyterLab
  ./run_all.sh bench NAME [OPTION ...]     run benchmarks/NAME.py (its options: --help)
  ./run_all.sh publish [NAME]              show that finished run in the repository (default: quick): copy its figures
                                           and claims over those in figures/, and rewrite the README's answer
  ./run_all.sh site [NAME]                 build a static site of that finished run (default: quick), to be read without
                                           a network: runs/NAME/site/index.html
  ./run_all.sh verify [NAME]               compare every file of that run with its checksum and name what is damaged; a
                                           folder may be given instead of a name. Exit code 1 where something is.
  python -m lewm_core --help               checkpoints and datasets without notebooks

Executed notebooks (.ipynb, .html) and results go to runs/NAME, figures to figures/NAME, where NAME is the profile
(with "-bridge" for that data and so on). Git ignores both. Finished work is reused.
Exit codes: 0 all done, 1 a cell failed, 2 bad options or input, 130 interrupted.
"""


def parser() -> argparse.ArgumentParser:
    p = Parser(
        "./run_all.sh",
        description="Run the notebooks one after another, without a display, and regenerate every figure.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument("--profile", default="quick",
                   help="a file in notebooks/profiles, such as smoke, quick (default) or paper")
    some = p.add_mutually_exclusive_group()
    some.add_argument("--only", action="append", default=[], metavar="NN[,NN]", help="only these notebooks")
    some.add_argument("--from", dest="first", metavar="NN", help="only this notebook and those after it")
    p.add_argument("--data", default="tabletop", choices=SOURCES, help="where episodes come from")
    p.add_argument("--data-path", metavar="DIR",
                   help="folder of the data set (of hdf5 the file), for any other --data than tabletop")
    p.add_argument("--weights", metavar="DIR",
                   help="folder of the extraction backends' weights, as python -m lewm_core download fills it")
    base = "base weights: tabletop (default), retrain, random, a hub id (quentinll/lewm-cube), or a checkpoint's path"
    p.add_argument("--base", metavar="NAME", help=base)
    p.add_argument("--study", default="main", choices=["main", "controls"],
                   help="controls adds what tells the paper's explanations apart")
    setting = "set a notebook parameter (value in YAML); may be repeated"
    p.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help=setting)
    p.add_argument("--jobs", type=whole(0, 1024), metavar="N",
                   help="runs at a time, and episodes (default: what there is room for)")
    executors.add_option(p)
    p.add_argument("--output", metavar="DIR", help="put everything there, figures in DIR/figures")
    p.add_argument("--force", action="store_true", help="redo finished work")
    return p


def main(argv: list[str] | None = None, notebooks: Path | None = None) -> int:
    """Run the notebooks as `argv` says and return the exit code.

    notebooks: folder of the notebooks and their profiles/; the repository's own by default.
    """
    argv = sys.argv[1:] if argv is None else argv
    return answer(lambda: _run(argv, notebooks),
                  "Interrupted. Finished work is kept: the same command goes on from there.")


def _run(argv: list[str], notebooks: Path | None) -> int:
    check(argv)
    options = parser().parse_args(argv)
    from lewm_core.runner.execute import execute
    from lewm_core.runner.isolation import isolated
    from lewm_core.runner.plan import make_plan
    from lewm_core.utils.files import full_disk_named

    plan = make_plan(options, notebooks)
    with full_disk_named(plan.place.output), isolated(plan.place):
        return OK if execute(plan) else FAILED


if __name__ == "__main__":
    sys.exit(main())
