"""`export`: a trial's model in a folder that stands alone, with all that is known of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from orchestrator.confirmation.saved import load_confirmation
from orchestrator.evaluation.results import read_evaluations
from orchestrator.exporting.bundle import LICENSE, inference, metadata
from orchestrator.exporting.card import Exported, confirmed_trial, lacking, model_card
from orchestrator.launcher.open import open_launcher
from orchestrator.live.console import PatientConsole
from orchestrator.study.find import chosen_trial, read_study, with_checkpoint
from orchestrator.study.record import TrialRecord
from protocol.doors import Call
from protocol.errors import CheckpointError, SettingsError, UserError
from protocol.files import copy_verified, sync_folder, write_json, write_text
from protocol.folders import StudyFolder, TrialFolder, parent_beside, parent_of
from protocol.messages import Plan, Validated, load_outcome, load_plan, read_events

_SETTINGS, _METRICS = "settings.yml", "metrics.json"

Format = Literal["folder", "monai_bundle"]


def export_command(
    folder: StudyFolder,
    *,
    trial: str,
    out: Path,
    overwrite: bool = False,
    layout: Format = "folder",
) -> None:
    """Make the folder `out`, and say so.

    Raises:
        UserError: there is no such trial, or `out` cannot be made.
    """
    with PatientConsole().status(f"exporting the model to {out}"):
        exported = export_trial(folder, trial, out, overwrite=overwrite, layout=layout)
    card = "docs/README.md" if layout == "monai_bundle" else "README.md"
    print(
        f"Trial {exported.plan.trial} of study {folder.name} is in {out}; {card} says what it is."
    )
    for name, off in exported.program["differences"].items():
        print(f"  {name} gives the model's own output, but for {off:.1g} of its range")
    for names, reason in lacking(exported.program["missing"]):
        print(f"  no {names}: {reason}")


def export_trial(
    folder: StudyFolder,
    which: str,
    out: Path,
    *,
    overwrite: bool = False,
    layout: Format = "folder",
) -> Exported:
    """Make the folder `out`, whole or not at all.

    Raises:
        UserError: there is no such trial, its model cannot be used, or `out` cannot be made.
    """
    record = chosen_trial(read_study(folder), which)
    source = with_checkpoint(folder, record)
    _check_place(out, overwrite)
    try:
        with _replacing_folder(out) as partial:
            return _fill(partial, out.name, folder, source, record, layout)
    except OSError as error:
        raise UserError(f"{out} cannot be made: {error}", key="--out") from error


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


def _fill(
    target: Path,
    name: str,
    study: StudyFolder,
    source: TrialFolder,
    record: TrialRecord,
    layout: Format,
) -> Exported:
    plan = load_plan(source.plan)
    bundle = layout == "monai_bundle"
    models = target / "models" if bundle else target
    models.mkdir(exist_ok=True)
    checksum = copy_verified(source.best, models / source.best.name)
    metrics = _metrics(source, plan, record)
    write_text(target / _SETTINGS, _settings(plan))
    write_json(target / _METRICS, {**metrics, "checkpoint_sha256": checksum})
    pictures = sorted(source.pictures.glob("*.png"))
    for picture in pictures:
        (target / "pictures").mkdir(exist_ok=True)
        shutil.copyfile(picture, target / "pictures" / picture.name)
    exported = Exported(
        plan=plan,
        result=metrics,
        own_file=_copy_family(plan.family, models),
        parent=_copy_parent(plan, source, models),
        program=_program(plan.family, source.best, models, bundle=bundle),
        pictures=[picture.name for picture in pictures],
        evaluations=_of_checkpoint(read_evaluations(source), checksum),
        confirmation=load_confirmation(study),
        models="models/" if bundle else "",
    )
    _write_findings(exported, target)
    card = target / "docs" / "README.md" if bundle else target / "README.md"
    card.parent.mkdir(exist_ok=True)
    write_text(card, model_card(name, exported))
    if bundle:
        _write_bundle(exported, target)
    return exported


def _program(family: str, best: Path, models: Path, *, bundle: bool) -> dict[str, Any]:
    """What `write_program` makes of the copy of `best` in `models`."""
    copy = models / best.name
    try:
        return write_program(family, copy, bundle=bundle)
    except CheckpointError as error:  # the copy goes again: it is the original that is at fault
        raise CheckpointError(error.problem.replace(str(copy), str(best))) from None


def write_program(family: str, checkpoint: Path, *, bundle: bool) -> dict[str, Any]:
    """Have the half that has torch write the model's files beside its checkpoint.

    Returns:
        As the call says.

    Raises:
        CheckpointError: the checkpoint is damaged.
        UserError: the model is of no use.
    """
    with tempfile.TemporaryDirectory(prefix="tomostudy-") as place:
        launcher = open_launcher(Path(place) / "log", family, calls=(Call.EXPORT,), trains=False)
        with contextlib.closing(launcher):
            where = {"checkpoint": str(checkpoint), "folder": str(checkpoint.parent)}
            return launcher.call(Call.EXPORT, {**where, "bundle": bundle})


def _of_checkpoint(evaluations: dict[str, Any], checksum: str) -> dict[str, Any]:
    """Without evaluations of a checkpoint that a later one has replaced."""
    return {
        split: found
        for split, found in evaluations.items()
        if found.get("checkpoint", {}).get("sha256") in (None, checksum)
    }


def _write_findings(exported: Exported, target: Path) -> None:
    """What evaluating and confirming the trial came to, as far as that was done."""
    if exported.evaluations:
        write_json(target / "evaluation.json", exported.evaluations)
    confirmation = exported.confirmation
    confirmed = confirmed_trial(confirmation, exported.plan.trial)
    if confirmation is not None and confirmed is not None:
        content = json.loads(confirmed.model_dump_json())
        about = {"metric": confirmation.metric, "level": confirmation.level}
        write_json(target / "confirmation.json", about | content)


def _write_bundle(exported: Exported, target: Path) -> None:
    if exported.program["kind"] is not None:
        (target / "configs").mkdir()
        write_json(target / "configs" / "metadata.json", metadata(exported))
        write_json(target / "configs" / "inference.json", inference())
    write_text(target / "LICENSE", LICENSE)


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
