"""What the dashboard's notes say of a confirmation, as Markdown."""

from __future__ import annotations

from orchestrator import words
from orchestrator.confirmation.saved import Confirmation, Confirmed
from orchestrator.study.record import TrialRecord

EXPLANATION = (
    "`searched` is the value for which a trial was chosen; the best of many values is better than",
    "it will be again, so it is no part of the mean. The interval is over seeds alone: it says",
    "nothing of how the value would vary with other validation data.",
)


def confirmation_note(confirmation: Confirmation) -> str:
    """A section with a row for every confirmed trial, the best mean first."""
    percent = f"{100 * confirmation.level:.0f} %"
    head = [
        f"| trial | complete runs | mean `{confirmation.metric}` | {percent} interval | searched |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(
        [
            "### Trained again with fresh seeds",
            "",
            confirmation.verdict,
            "",
            *head,
            *(_row(trial) for trial in confirmation.trials),
            "",
            " ".join(EXPLANATION),
        ]
    )


def _row(trial: Confirmed) -> str:
    cells = [
        str(trial.trial),
        f"{trial.count('complete')} of {trial.asked}",
        words.number(trial.mean),
        interval(trial),
        words.number(trial.search_value),
    ]
    return f"| {' | '.join(cells)} |"


def interval(trial: Confirmed) -> str:
    """The interval of the mean; a dash where there is none."""
    if trial.low is None or trial.high is None:
        return "-"
    return f"{words.number(trial.low)} to {words.number(trial.high)}"


def confirmed_lines(confirmation: Confirmation | None, best: TrialRecord | None) -> list[str]:
    """For `status`: the winner and whether it is luck; nothing where nothing was confirmed.

    Args:
        confirmation: what was confirmed.
        best: the search's best trial now.
    """
    winner = confirmation.winner if confirmation else None
    if confirmation is None or winner is None:
        return []
    runs = words.counted(winner.count("complete"), "run")
    reach = f" ({interval(winner)})" if winner.low is not None else ""
    mean = f"mean {confirmation.metric} {words.number(winner.mean)}{reach}"
    lines = [
        f"Confirmed: trial {winner.trial}, {mean} over {runs} with fresh seeds",
        f"  {confirmation.verdict}",
    ]
    if best is not None and best.number not in [trial.trial for trial in confirmation.trials]:
        lines.append(f"  A better trial came after: trial {best.number}; `confirm` it as well")
    return lines
