"""`export`: a trial's checkpoint, settings, metrics and pictures in a folder of their own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from orchestrator.commands.export_readme import export_readme
from orchestrator.study.find import chosen_trial, read_study, with_checkpoint
from orchestrator.study.record import TrialRecord
from protocol.errors import CheckpointError, SettingsError, UserError
from protocol.files import copy_verified, sync_folder, write_json, write_text
from protocol.folders import StudyFolder, TrialFolder, parent_beside, parent_of
from protocol.messages import Plan, Validated, load_outcome, load_plan, read_events

_SETTINGS, _METRICS = "settings.yml", "metrics.json"


def export_command(folder: StudyFolder, *, trial: str, out: Path, overwrite: bool = False) -> None:
    """Make the folder `out`, and say so.

    Raises:
        UserError: there is no such trial, or `out` cannot be made.
    """
    number = export_trial(folder, trial, out, overwrite=overwrite)
    print(f"Trial {number} of study {folder.name} is in {out}; its README.md says how to load it.")


def export_trial(folder: StudyFolder, which: str, out: Path, *, overwrite: bool = False) -> int:
    """Make the folder `out`, whole or not at all; the trial's number.

    Raises:
        UserError: there is no such trial, or `out` cannot be made.
    """
    record = chosen_trial(read_study(folder), which)
    source = with_checkpoint(folder, record)
    _check_place(out, overwrite)
    try:
        with _replacing_folder(out) as partial:
            _fill(partial, out.name, source, record)
    except OSError as error:
        raise UserError(f"{out} cannot be made: {error}", key="--out") from error
    return record.number


def _check_place(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise SettingsError(f"{out} is a file; expected a folder to make", key="--out")
    if not any(out.iterdir()):
        return
    if not all((out / name).is_file() for name in (_SETTINGS, _METRICS)):
        # Not even with --overwrite: a slip of the hand must not cost anyone's other files.
        raise SettingsError(f"{out} holds other files; choose a new folder", key="--out")
    if not overwrite:
        raise SettingsError(f"{out} holds an earlier export; --overwrite replaces it", key="--out")


@contextlib.contextmanager
def _replacing_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place when it is whole."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        partial, old = Path(place) / "new", Path(place) / "old"
        partial.mkdir()
        yield partial
        sync_folder(partial)
        if out.exists():
            out.rename(old)
        partial.rename(out)
        sync_folder(out.parent)


def _fill(target: Path, name: str, source: TrialFolder, record: TrialRecord) -> None:
    plan = load_plan(source.plan)
    checksum = copy_verified(source.best, target / source.best.name)
    metrics = _metrics(source, plan, record)
    write_text(target / _SETTINGS, _settings(plan))
    write_json(target / _METRICS, {**metrics, "checkpoint_sha256": checksum})
    own_file = _copy_family(plan.family, target)
    parent = _copy_parent(plan, source, target)
    pictures = sorted(source.pictures.glob("*.png"))
    for picture in pictures:
        (target / "pictures").mkdir(exist_ok=True)
        shutil.copyfile(picture, target / "pictures" / picture.name)
    names = [picture.name for picture in pictures]
    write_text(
        target / "README.md",
        export_readme(name, plan, metrics, pictures=names, own_file=own_file, parent=parent),
    )


def _copy_family(family: str, target: Path) -> str | None:
    """The name under which a user's own family file lies in `target`, if it is still there."""
    path = Path(family.rpartition(":")[0])
    if ":" not in family or not path.is_file():
        return None
    shutil.copyfile(path, target / path.name)
    return path.name


def _copy_parent(plan: Plan, source: TrialFolder, target: Path) -> str | None:
    """The name under which the model that the trial started from lies in `target`."""
    parent = parent_of(source.best, plan.recipe.given)
    if parent is None:
        return None
    if not parent.is_file():
        raise CheckpointError(
            f"the model that the trial starts from is gone: there is no {parent}; put it back"
        )
    copy = parent_beside(target / source.best.name)
    recorded = plan.recipe.given.get("parent_sha256")
    if recorded not in (None, copy_verified(parent, copy)):
        raise CheckpointError(
            f"{parent}, from which the trial started, has changed since: its SHA-256 is not the "
            f"recorded {recorded}; put back what was there"
        )
    return copy.name


def _settings(plan: Plan) -> str:
    content = {
        "study": plan.study,
        "trial": plan.trial,
        "seed": plan.seed,
        "family": plan.family,
        "objective": plan.objective.model_dump(),
        "searched": plan.searched,
        "recipe": dict(plan.recipe.given),
        "data": plan.data,
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _metrics(source: TrialFolder, plan: Plan, record: TrialRecord) -> dict[str, Any]:
    """Of the checkpoint's epoch; a trial that has not ended has them in its events."""
    outcome = load_outcome(source.outcome)
    if outcome is not None and outcome.best_epoch:
        return {
            "state": record.state,
            "epoch": outcome.best_epoch,
            "objective": outcome.value,
            "metrics": outcome.metrics,
        }
    best = [e for e in read_events(source.events) if isinstance(e, Validated) and e.best]
    if not best:
        return {"state": record.state, "epoch": 0, "objective": None, "metrics": {}}
    return {
        "state": record.state,
        "epoch": best[-1].epoch,
        "objective": best[-1].metrics.get(plan.objective.metric),
        "metrics": best[-1].metrics,
    }
