# Sourced by run_study.sh: what it can say of itself before anything is installed.

# Answers a question for help or the version and exits; returns 1 if "$@" asks for neither.
answer() {
    local word command="$*" asked=""
    for word; do
        case $word in -h | --help) asked=yes ;; esac
    done
    case ${1:-} in
        --version) tell_version && exit ;;
        -h | --help) command="" ;;
        -*) command=run ;;
    esac
    # Asked for nothing, the command line gives its help to standard error, and so does `prepare`.
    if [[ -z $* || $* = prepare ]]; then help_of "$command" >&2 && exit 2; fi
    [[ -n $asked ]] && help_of "${command%% -*}" && exit
}

# help.txt holds the command line's own words, one command's after the other's; a test compares them.
help_of() {
    local line wanted="Usage: run_study.sh${1:+ $1} [" found=""
    while IFS= read -r line; do
        if [[ $line = Usage:* ]]; then
            if [[ -n $found ]]; then return 0; fi
            if [[ ${line/.\//} = "$wanted"* ]]; then found=yes; fi
        fi
        if [[ -n $found ]]; then printf '%s\n' "$line"; fi
    done <"$root/scripts/help.txt"
    [[ -n $found ]]
}

tell_version() {
    local line
    while IFS= read -r line; do
        if [[ $line = 'version = "'*'"' ]]; then
            line=${line#*\"}
            printf 'tomostudy %s\n' "${line%\"}"
            return 0
        fi
    done <"$root/pyproject.toml"
    return 1
}
