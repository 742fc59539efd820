#!/usr/bin/env bash
# Sets tomostudy up on first use, then hands over to its command line: ./run_study.sh --help
set -euo pipefail

script=${BASH_SOURCE[0]}
while [[ -L $script ]]; do
    target=$(readlink "$script")
    if [[ $target != /* ]]; then target=$(dirname "$script")/$target; fi
    script=$target
done
root=$(CDPATH="" cd -- "$(dirname "$script")" && pwd -P)

source "$root/scripts/setup.sh"
source "$root/scripts/answers.sh"
# A shell that completes waits for no installation.
ready || [[ -z ${_TOMOSTUDY_COMPLETE:-} ]] || exit 0
ready || answer "$@" || set_up

# -P: a folder of the user's that happens to be called data or models must not shadow ours.
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -P -m orchestrator "$@"
