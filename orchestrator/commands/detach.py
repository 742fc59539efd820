"""`run --detach`: the search as a small job of the cluster, which outlives its shell."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from orchestrator import words
from orchestrator.launcher.open import job_name
from orchestrator.launcher.slurm.ask import Away
from orchestrator.running.session import DONE, refuse_confirmations
from orchestrator.settings.checks import check_at_once
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.study.find import check_study_name
from orchestrator.study.holding.lock import living_holder, refuse_holder_elsewhere
from orchestrator.study.study_file import read_study_file
from protocol.errors import SettingsError, StudyInUse, UserError
from protocol.folders import StudyFolder


def detach_study(
    name: str, runs_dir: Path, asked: Asked, arguments: list[str], console: Console
) -> int:
    """Submit a job that runs the same command without the option; the exit code.

    Args:
        name: of the study.
        runs_dir: the folder that holds the studies.
        asked: what the command line says of the settings.
        arguments: of the command that is to run there.
        console: for people.

    Raises:
        UserError: the settings are wrong, or Slurm refuses the job.
        StudyInUse: an orchestrator is at work already, or waits in the queue.
    """
    folder = StudyFolder(runs_dir.absolute() / check_study_name(name))
    refuse_confirmations(folder)
    earlier = read_study_file(folder)
    settings, layers = load_settings(asked if earlier is None else asked.over(earlier.asked))
    check_at_once(settings, layers)
    if settings.launcher.kind != "slurm":
        raise SettingsError(
            "found --detach, which is for studies on a cluster; expected launcher.kind: slurm",
            key="launcher.kind",
        )
    from orchestrator.launcher.slurm.detached import detached, submit_orchestrator

    _refuse_another(folder, console)
    try:
        if (waiting := detached(folder.jobs)) is not None and waiting.lives:
            raise StudyInUse(f"study {name!r} has its orchestrator in {waiting.told}")
        number = submit_orchestrator(
            folder.jobs, job_name(folder, "orchestrator"), settings.launcher, arguments
        )
    except Away as away:
        raise UserError(f"Slurm does not answer, try again in a while: {away}") from None
    console.print(
        Text(
            f"Study {name} is searched by job {number}; see how it stands by\n"
            f"  ./run_study.sh status --study_name {name} --runs_dir {runs_dir}\n"
            f"what it prints by\n  tail -f {folder.jobs}/{number}_0_log.out\n"
            f"and end it with all its trials' jobs by\n"
            f"  ./run_study.sh --study_name {name} --runs_dir {runs_dir} --cancel"
        ),
        soft_wrap=True,
    )
    return DONE


def _refuse_another(folder: StudyFolder, console: Console) -> None:
    if not folder.settings.exists():
        return
    refuse_holder_elsewhere(folder)
    holder = living_holder(folder.lock, lambda said: console.print(Text(said), soft_wrap=True))
    if holder is not None:
        who = words.process(holder.pid, holder.host, holder.start, holder.job)
        raise StudyInUse(f"study {folder.name!r} is in use by {who}")
