"""Makes a real study for tests: its database by Optuna, its folders by the messages' writers."""

import functools
import sqlite3
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import optuna
import yaml
from optuna.trial import TrialState

from models.panels import keep_panels
from models.pictures import Panel, Picture
from protocol.folders import StudyFolder, TrialFolder
from protocol.messages import (
    Ending,
    Outcome,
    Pictured,
    Plan,
    Started,
    Validated,
    append_event,
    save_message,
)
from protocol.objective import Objective

OBJECTIVE = Objective(metric="psnr", direction="maximize")
# What the half that has torch answers to `export`, whose checkpoints here are no models.
_PORT = {"shape": [1, 4, 4], "unit": "m", "meaning": "a scan", "low": None, "high": None}
PLAYED_PROGRAM = {
    "parameters": 51,
    "kind": "sinogram",
    "inputs": [{"name": "sinogram", **_PORT}],
    "outputs": [{"name": "image", **_PORT, "low": 0.0, "high": 1.0}],
    "facts": {"geometry": {"angles": 4}},
    "differences": {"model.pt2": 1e-7},
    "missing": {"model.onnx": "onnx not installed"},
}
STATES = {
    Ending.COMPLETED: TrialState.COMPLETE,
    Ending.PRUNED: TrialState.PRUNED,
    Ending.NONFINITE: TrialState.PRUNED,
    Ending.FAILED: TrialState.FAIL,
}


class MadeStudy:
    """A study in `runs`, whose trials end as the test says."""

    def __init__(self, runs: Path, name: str = "made") -> None:
        self.folder = StudyFolder(runs / name)
        self.folder.path.mkdir(parents=True)
        self.folder.database.write_bytes(_blank_study(name))
        self.study = optuna.load_study(study_name=name, storage=f"sqlite:///{self.folder.database}")
        self.write_settings()

    def write_settings(self, **settings) -> None:
        known = {
            "family": "fbp_window",
            "objective": OBJECTIVE.model_dump(),
            "n_trials": 8,
            "storage": {"url": None},
            **settings,
        }
        self.folder.settings.write_text(yaml.safe_dump({"asked": {}, "settings": known}))

    def begin(self, epochs: int = 0, attempt: int = 0) -> optuna.Trial:
        """A trial that has validated `epochs` epochs and is still running."""
        trial = self.study.ask()
        recipe = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            "window": trial.suggest_categorical("window", ["full", "[fourier]", None]),
            "harmonics": trial.suggest_int("harmonics", 10, 100, step=10),
            "epochs": 4,
        }
        folder = self.trial(trial.number)
        folder.path.mkdir()
        plan = Plan(
            study=self.folder.name,
            trial=trial.number,
            attempt=attempt,
            seed=trial.number,
            family="fbp_window",
            recipe=recipe,
            data={"root": "data"},
            objective=OBJECTIVE,
            searched=["learning_rate", "window", "harmonics"],
            devices=["cpu", "cpu"],
            threads=1,
        )
        save_message(folder.plan, plan)
        append_event(
            folder.events,
            Started(
                attempt=attempt,
                ranks=2,
                epochs=4,
                steps_per_epoch=5,
                parameters=7,
                resumed_step=0,
            ),
        )
        for epoch in range(1, epochs + 1):
            self.validate(trial.number, epoch)
            trial.report(20.0 + epoch, epoch)
        return trial

    def validate(self, number: int, epoch: int) -> None:
        """Let a trial validate one more epoch."""
        event = Validated(
            attempt=0,
            epoch=epoch,
            step=epoch * 5,
            metrics={"psnr": 20.0 + epoch, "ssim": 0.5},
            losses={"mse": 1.0 / epoch},
            learning_rate=1e-3,
            seconds=2.0,
            best=True,
        )
        append_event(self.trial(number).events, event)
        self.trial(number).best.write_bytes(f"weights of epoch {epoch}".encode())

    def draw(self, number: int, name: str = "sample_0", grey: int = 128) -> Path:
        """Let a trial draw a picture."""
        folder = self.trial(number)
        folder.pictures.mkdir(exist_ok=True)
        path = folder.pictures / f"{name}.png"
        path.write_bytes(png(grey))
        relative = path.relative_to(folder.path)
        append_event(folder.events, Pictured(attempt=0, path=str(relative)))
        return path

    def keep(
        self,
        number: int,
        result: np.ndarray,
        target: np.ndarray,
        case: str = "validation_0000",
        baseline: np.ndarray | None = None,
    ) -> Path:
        """Let a trial keep what a picture shows."""
        panels = [Panel(title="Target", image=target, role="target")]
        if baseline is not None:
            panels.append(Panel(title="FBP\nPSNR 1 dB", image=baseline, role="baseline"))
        panels.append(Panel(title=f"Result\nPSNR {number} dB", image=result, role="result"))
        window = (float(target.min()), float(target.max()))
        picture = Picture(name="a", title="Sample 0", panels=panels, window=window)
        return keep_panels(self.trial(number).panels, case, picture, epoch=3)

    def settle(self, trial: optuna.Trial, value: float | None = 24.0, **changes) -> Outcome:
        """Write a trial's outcome."""
        outcome = Outcome(
            **{
                "ending": Ending.COMPLETED,
                "reason": "all epochs trained",
                "attempts": 1,
                "value": value,
                "epoch": 4,
                "best_epoch": 3,
                "step": 20,
                "metrics": {} if value is None else {"psnr": value, "ssim": 0.5},
                **changes,
            }
        )
        save_message(self.trial(trial.number).outcome, outcome)
        for key in ("reason", "epoch", "best_epoch", "attempts", "metrics"):
            trial.set_user_attr(key, getattr(outcome, key))
        trial.set_user_attr("ending", outcome.ending.value)
        return outcome

    def tell(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Tell the study of an outcome."""
        state = STATES[outcome.ending]
        value = outcome.value if state is TrialState.COMPLETE else None
        self.study.tell(trial, value, state=state)

    def add(self, value: float | None = 24.0, *, epochs: int = 4, **changes) -> int:
        """A trial that has ended; its number."""
        trial = self.begin(epochs)
        self.tell(trial, self.settle(trial, value, **changes))
        return trial.number

    def trial(self, number: int) -> TrialFolder:
        return self.folder.trial(number)


@functools.cache
def _blank_study(name: str) -> bytes:
    """The database of a study without trials: making the tables anew takes most of a second."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "study.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        optuna.create_study(storage=storage, study_name=name, direction="maximize")
        storage.engine.dispose()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        return path.read_bytes()


def png(grey: int, size: int = 32) -> bytes:
    """A square of one grey as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = (b"\0" + bytes([grey]) * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
