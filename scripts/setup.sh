#!/usr/bin/env bash
# Sourced by run_study.sh and run_tests.sh after they have set $root: set_up [EXTRA] makes sure of an
# environment and leaves its interpreter in $python. Run by hand it does the same and names that
# interpreter: scripts/setup.sh notebook

by_hand=""
if [[ ${BASH_SOURCE[0]} = "$0" ]]; then
    set -euo pipefail
    by_hand=yes
    root=$(CDPATH="" cd -- "$(dirname -- "$0")/.." && pwd -P)
fi
python=${TOMOSTUDY_VENV:-$root/.venv}/bin/python
[[ $python = /* ]] || python=$PWD/$python

# -S and -E spare this look the import of what the environment's .pth files bring.
ready() {
    [[ -x $python ]] && "$python" -E -s -S "$root/scripts/environment.py" ready "${1:-}"
}

set_up() {
    local interpreter name problem="none was found"
    if ready "${1:-}"; then return; fi
    if [[ -n ${TOMOSTUDY_PYTHON:-} ]]; then
        interpreter=$(type -P -- "$TOMOSTUDY_PYTHON") ||
            give_up "TOMOSTUDY_PYTHON names $TOMOSTUDY_PYTHON, which is not a program on this machine."
        is_fit || give_up "TOMOSTUDY_PYTHON names $TOMOSTUDY_PYTHON, but $problem."
    else
        for name in python3 python3.1{4,3,2,1} python ""; do
            interpreter=$(type -P "$name") && is_fit && break
        done
        [[ -n $name ]] ||
            give_up "tomostudy needs Python 3.11 or newer ($problem); install one, or name it: TOMOSTUDY_PYTHON=/path/to/python3"
    fi
    "$interpreter" -E -s "$root/scripts/environment.py" install "${1:-}" || exit
}

# Whether $interpreter can be used; if not, $problem says why. Python 2 must understand the question.
is_fit() {
    problem=$("$interpreter" -E -s -c '
import sys
named = (sys.argv[1], "%d.%d" % sys.version_info[:2])
if sys.version_info < (3, 11):
    print("%s is Python %s, and 3.11 is the oldest that will do" % named)
else:
    try:
        import ensurepip, venv
    except ImportError:
        print("%s (Python %s) cannot make environments: its venv or ensurepip module is missing; on Debian or Ubuntu install it with: apt install python%s-venv" % (named + named[1:]))
' "$interpreter" 2>/dev/null) || problem="$interpreter does not run as a Python interpreter"
    [[ -z $problem ]]
}

give_up() {
    printf '%s\n' "$*" >&2
    exit 2
}

if [[ -n $by_hand ]]; then
    set_up "$@"
    printf '%s\n' "$python"
fi
