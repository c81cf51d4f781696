#!/usr/bin/env bash
# ./run_all.sh [OPTION ...]       run the notebooks, figures go to figures/PROFILE/ (--help lists the options)
# ./run_all.sh test [ARGUMENT ..] run the test suite, a process a core (arguments go to pytest; -n 0: one process)
# ./run_all.sh lab [ARGUMENT ...] open the notebooks in JupyterLab
# ./run_all.sh fuzz [ARGUMENT ..] damaged, hostile and interrupted inputs, thousands of them, with a table of what came of it
# ./run_all.sh bench NAME [..]    run benchmarks/NAME.py
# ./run_all.sh publish [NAME]     make a finished run the one whose figures and claims the repository shows
# ./run_all.sh site [NAME]        build a static site of a finished run in runs/NAME/site
# ./run_all.sh verify [NAME]      compare every file of a run with its checksum
# Uses the active virtual or conda environment if it has what is needed; otherwise makes .venv and installs the pins.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

# A Python that can run this project: 3.11 to 3.13.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3.11}" python3 python3.12 python3.13 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "no Python 3.11, 3.12 or 3.13 found. Install Python 3.11, or set PYTHON to its path."
}

# Does this Python have every package of pyproject.toml ($2: and of its extra of that name), recent enough?
# Reads metadata only, imports nothing. Prints what is missing.
missing() {
    "$1" - "$root/pyproject.toml" "${2:-}" <<'PYTHON'
import re, sys, tomllib
from importlib.metadata import PackageNotFoundError, version
numbers = lambda text: [int(n) for n in re.findall(r"\d+", text.split("+")[0])][:3]
with open(sys.argv[1], "rb") as f:
    project = tomllib.load(f)["project"]
for line in project["dependencies"] + project["optional-dependencies"].get(sys.argv[2], []):
    name, _, least = line.partition(">=")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    if found is None or numbers(found) < numbers(least):
        print(line, f"(found {found or 'none'})")
PYTHON
}

install() {
    local base stamp
    base="$(find_python)"
    stamp="$("$base" - "$root" requirements.txt constraints.txt <<'PYTHON'
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
print(hashlib.sha256(b"\0".join([str(root).encode()] + [(root / f).read_bytes() for f in sys.argv[2:]])).hexdigest())
PYTHON
)"
    if [ "$(cat "$root/.venv/installed" 2>/dev/null)" = "$stamp" ] && "$root/.venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "Installing the pinned packages into .venv (a few minutes, once) ..." >&2
    rm -f "$root/.venv/installed"
    if ! "$root/.venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$base" -m venv --clear "$root/.venv" >&2 ||
            die "could not make a virtual environment (on Debian and Ubuntu: apt install python3-venv)."
    fi
    (cd "$root" && .venv/bin/python -m pip install --disable-pip-version-check --quiet \
        -r requirements.txt -c constraints.txt) >&2 ||
        die "pip could not install requirements.txt (see above). The same command tries again."
    # So that notebooks opened by hand find lewm_core, too.
    "$root/.venv/bin/python" - "$root" <<'PYTHON'
import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "lewm_core.pth").write_text(sys.argv[1] + "\n")
PYTHON
    echo "$stamp" >"$root/.venv/installed"
}

# Sets `python`.
choose_environment() {
    local active lacks
    for active in ${VIRTUAL_ENV:+"$VIRTUAL_ENV"} ${CONDA_PREFIX:+"$CONDA_PREFIX"}; do
        if lacks="$(missing "$active/bin/python" "$1" 2>/dev/null)" && [ -z "$lacks" ]; then
            python="$active/bin/python"
            return
        fi
        echo "The active environment lacks ${lacks:-Python 3.11}; using .venv beside run_all.sh instead." | tr '\n' ' ' >&2
        echo >&2
    done
    install
    python="$root/.venv/bin/python"
}

case "${1:-}" in
test)
    shift
    choose_environment dev
    cd "$root"
    exec "$python" -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile "$@"
    ;;
fuzz)
    shift
    choose_environment dev
    cd "$root"
    exec "$python" -m tests.fuzz "$@"
    ;;
lab)
    shift
    choose_environment ""
    cd "$root"
    # The project's settings beside the user's: notebooks/lab. Outputs are kept by the pairs of jupytext.toml.
    export JUPYTER_CONFIG_PATH="$root/notebooks/lab${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}"
    exec "$python" -m jupyterlab "$@"
    ;;
bench)
    name="${2:-}"
    [[ "$name" =~ ^[A-Za-z0-9_]+$ ]] && [ -f "$root/benchmarks/$name.py" ] ||
        die "no benchmark '$name'. There are: $(cd "$root/benchmarks" && ls *.py | sed '/^public_/d; s/\.py$//' | tr '\n' ' ')"
    shift 2
    choose_environment ""
    exec "$python" -m "benchmarks.$name" "$@"
    ;;
publish)
    choose_environment ""
    exec "$python" -m lewm_core "$@"
    ;;
verify)
    choose_environment ""
    exec "$python" -m lewm_core "$@"
    ;;
site)
    choose_environment site
    exec "$python" -m lewm_core "$@"
    ;;
-h | --help)
    python="$(find_python)"
    exec "$python" -m lewm_core.runner.cli --help
    ;;
*)
    choose_environment ""
    exec "$python" -m lewm_core.runner.cli "$@"
    ;;
esac
