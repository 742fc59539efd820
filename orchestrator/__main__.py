"""The program: what was typed, spelled as typer reads it, and run."""

from __future__ import annotations

import difflib
import os
import sys

from orchestrator.troubles import trouble_of
from protocol.errors import StudyInUse, UserError

_SEVERAL = ("--input", "--voxel_size", "--study_name")  # options that take several values


def with_command(arguments: list[str]) -> list[str]:
    """What was typed, as typer reads it.

    `run` is put first where no command is given, dashes in option names become underscores, and
    an option of `predict`, `infer` or `compare` is repeated for each of its values.
    """
    from orchestrator.command_line import app

    commands = {command.name or "" for command in app.registered_commands} | {
        command.callback.__name__ for command in app.registered_commands if command.callback
    }
    spelled = [_underscored(argument) for argument in arguments]
    if spelled and spelled[0].isidentifier() and spelled[0] not in commands:
        near = difflib.get_close_matches(spelled[0], sorted(commands), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(commands))}"
        raise UserError(f"there is no command {spelled[0]!r}; {hint}")
    if spelled[:1] in (["predict"], ["infer"], ["compare"]):
        spelled = _repeated(spelled)
    if spelled and spelled[0] not in commands and spelled[0] not in ("--help", "-h", "--version"):
        return ["run", *spelled]
    return spelled


def _repeated(arguments: list[str]) -> list[str]:
    """`--input a b` as `--input a --input b`, for options that take several values."""
    spelled: list[str] = []
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("--"):
            option, values = argument, 0
        elif option in _SEVERAL:
            spelled += [option] if values else []
            values += 1
        spelled.append(argument)
    return spelled


def _underscored(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value


def _speak_utf8() -> None:
    """Begin anew in UTF-8 under a locale that cannot spell every path, for children as well."""
    if sys.getfilesystemencoding() != "utf-8":
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONUTF8": "1"})


def main() -> None:
    """Run a command; a user's mistake is one sentence, a defect keeps its traceback."""
    try:
        _speak_utf8()
        # Here, for it takes half a second in which ^C may come.
        from orchestrator.command_line import app
        from orchestrator.completion import VARIABLE, prepare

        if VARIABLE in os.environ:
            prepare(os.environ)
        app(args=with_command(sys.argv[1:]), prog_name="run_study.sh", complete_var=VARIABLE)
    except UserError as error:
        _say(str(error))
        sys.exit(2)
    except StudyInUse as error:
        _say(str(error))
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        trouble = trouble_of(error)
        if trouble is None:
            raise
        _say(str(trouble))
        sys.exit(2)


def _say(message: str) -> None:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
