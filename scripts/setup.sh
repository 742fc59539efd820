# Sourced by run_study.sh and run_tests.sh after they have set $root.
# set_up [EXTRA] makes sure of an environment and leaves its interpreter in $python.

set_up() {
    local venv=${TOMOSTUDY_VENV:-$root/.venv} interpreter="" environment="$root/scripts/environment.py"
    [[ $venv = /* ]] || venv=$PWD/$venv
    local request=(--root "$root" --venv "$venv" --extra "${1:-}")
    if [[ -n ${TOMOSTUDY_VENV:-} ]]; then request+=(--elsewhere); fi
    if [[ -n ${TOMOSTUDY_PYTHON:-} ]]; then
        interpreter=$(type -P -- "$TOMOSTUDY_PYTHON") ||
            give_up "TOMOSTUDY_PYTHON names $TOMOSTUDY_PYTHON, which is not a program on this machine."
        [[ $interpreter = /* ]] || interpreter=$PWD/$interpreter
        request+=(--interpreter "$interpreter")
    fi

    python=$venv/bin/python
    # -S and -E spare this look the import of what the environment's .pth files bring.
    if [[ -x $python ]] && "$python" -E -s -S "$environment" ready "${request[@]}"; then return 0; fi
    if [[ -z $interpreter ]]; then find_interpreter; else judge_interpreter; fi
    "$interpreter" -E -s "$environment" install "${request[@]}" || exit
}

# The first Python on the search path that is new enough and can make environments.
find_interpreter() {
    local name reason="none was found"
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        interpreter=$(type -P "$name") || continue
        why_unfit || return 0
    done
    give_up "tomostudy needs Python 3.11 or newer ($reason); install one, or name it: TOMOSTUDY_PYTHON=/path/to/python3"
}

judge_interpreter() {
    local reason=""
    if why_unfit; then give_up "TOMOSTUDY_PYTHON names $TOMOSTUDY_PYTHON, but $reason."; fi
}

# True if $interpreter cannot be used; $reason then says why.
why_unfit() {
    local found
    found=$("$interpreter" -E -s -c '
import sys
version = "%d.%d" % sys.version_info[:2]
try:
    import ensurepip, venv
    print(version, "venv", sys.version_info[:2] >= (3, 11))
except ImportError:
    print(version, "bare", sys.version_info[:2] >= (3, 11))
' 2>/dev/null) || found=""
    case $found in
        *" venv True") return 1 ;;
        *" bare True") reason="$interpreter (Python ${found%% *}) cannot make environments: its venv or ensurepip module is missing; on Debian or Ubuntu install it with: apt install python${found%% *}-venv" ;;
        ?*) reason="$interpreter is Python ${found%% *}, and 3.11 is the oldest that will do" ;;
        *) reason="$interpreter does not run as a Python interpreter" ;;
    esac
}

give_up() {
    printf '%s\n' "$*" >&2
    exit 2
}
