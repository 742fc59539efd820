"""The command line of data sets; users call it as `./run_study.sh prepare …`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import typer

from data.brain.prepare import commands as brain
from data.lodopab.prepare import commands as lodopab
from data.xray_ct.prepare import commands as xray_ct
from protocol.errors import UserError

PROGRAM = "./run_study.sh prepare"
INTERRUPTED = 130

app = typer.Typer(
    name="prepare",
    help="Make a data set to study: from your own scans, or of phantoms.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (lodopab, brain, xray_ct):
    commands.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name; returns the exit code.

    0 done, 2 something the user can mend, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=[_underscored(word) for word in given], prog_name=PROGRAM)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if code == INTERRUPTED:
            print("interrupted; nothing was written", file=sys.stderr)
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _underscored(word: str) -> str:
    """`--image-size=64` as `--image_size=64`."""
    option = re.match(r"--[a-z][a-z-]*", word)
    return (
        word
        if option is None
        else option[0].replace("-", "_").replace("__", "--", 1) + word[option.end() :]
    )


if __name__ == "__main__":
    sys.exit(main())
