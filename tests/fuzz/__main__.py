"""The campaign of damaged, hostile and interrupted inputs: thousands of cases, each in a process of its own.

    python -m tests.fuzz --cases 2000                  every kind of input, 2,000 cases in all
    python -m tests.fuzz --only raw,hdf5 --seed 7      some kinds, other cases
    python -m tests.fuzz --only raw --case 1234        one case again, with all that it said

Writes table.csv (kind, mutation, outcome, count) and failures.csv, whose lines name the command that repeats the case.
Exit code 1 where a case failed. `cases.OUTCOMES` says what the outcomes mean.
"""

import os
import sys

if __name__ == "__main__":  # not again in the processes that are started below
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS"):  # no threads: this process forks
        os.environ[name] = "1"
    from tests.fuzz.campaign import main

    sys.exit(main(description=__doc__))
