#!/usr/bin/env bash
# Sets tomostudy up with its development tools on first use, then runs every check.
# Usage: ./run_tests.sh [PYTEST ARGUMENTS], paths as seen from the project's root
# Examples: ./run_tests.sh tests/unit -x;  ./run_tests.sh -n 2;  ./run_tests.sh -m "not slow"
# ./run_tests.sh --faults [--minutes 30] [--seed 0] runs the suites of faults alone, and at length.
set -euo pipefail

script=${BASH_SOURCE[0]}
while [[ -L $script ]]; do
    target=$(readlink "$script")
    if [[ $target != /* ]]; then target=$(dirname "$script")/$target; fi
    script=$target
done
root=$(CDPATH="" cd -- "$(dirname "$script")" && pwd -P)

source "$root/scripts/setup.sh"
set_up dev

cd -- "$root"
# Tests run side by side: threads of their own would only get into each other's way.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
failed=()

# Runs one check under its name; a failure is kept for the end, so that one run shows all.
check() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    "$python" "$@" || failed+=("$name")
}

# mypy takes a minute of one core on its first run; the tests, which often wait, go before it.
typed=$(mktemp)
nice "$python" -m mypy >"$typed" 2>&1 &
mypy=$!
trap 'kill "$mypy" 2>/dev/null || true; rm -f -- "$typed"' EXIT

check "format (ruff)" -m ruff format --check
check "lint (ruff)" -m ruff check
check "imports (import-linter)" -c \
    'from importlinter.cli import lint_imports_command as main; main()' --no-logo
# Three at a time: most tests wait for processes rather than compute. A later -n wins.
# --long adds what is left out for its time.
check "tests (pytest)" -m pytest -n 3 --dist worksteal "$@"
printf '\n== types (mypy)\n'
wait "$mypy" || failed+=("types (mypy)")
trap 'rm -f -- "$typed"' EXIT
cat -- "$typed"

if ((${#failed[@]})); then
    printf '\nFailed: '
    printf '%s' "${failed[0]}"
    if ((${#failed[@]} > 1)); then printf ', %s' "${failed[@]:1}"; fi
    printf '\n'
    exit 1
fi
printf '\nformat, lint, imports, tests and types: all passed\n'
