"""The program before it is a command."""

import os
import subprocess
import sys

from tests.studio import ROOT


def test_an_interruption_while_the_program_is_loaded_leaves_no_traceback(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", "status"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
