"""A callback of Lightning 2 that reports each validation to a study, and follows it when to stop.

    from tomostudy_lightning import TomostudyCallback

    trainer = Trainer(..., callbacks=[TomostudyCallback()])

With LightningCLI there is no line to write:

    --trainer.callbacks+=tomostudy_lightning.TomostudyCallback

For use elsewhere copy this file and tomostudy_report.py; outside a study it does nothing.
"""

import importlib
import math
import os
import sys
from typing import TYPE_CHECKING, Any, Optional

from tomostudy_report import in_study, report, should_stop

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
else:

    def _lightning() -> Any:
        """Lightning under the name by which the script has it, or else whichever is there."""
        names = ["lightning.pytorch", "pytorch_lightning"]
        for name in sorted(names, key=lambda name: name not in sys.modules):
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError:
                continue
        raise ModuleNotFoundError("tomostudy_lightning needs lightning or pytorch-lightning")

    Callback = _lightning().Callback

__all__ = ["TomostudyCallback"]


class TomostudyCallback(Callback):
    """Reports what was logged, at the end of each validation while fitting.

    A validation counts as the epoch that it ends, from 1 on; where there are several in an epoch,
    each is one of its own. When the study says stop, all processes leave after this validation, by
    `trainer.should_stop`; a process alone leaves after the step that it is at, by SystemExit, as
    Lightning leaves on SIGTERM. What is to be gone on from is saved before, as `last.ckpt` in the
    folder of the trainer's checkpoint callback, where it has one.
    """

    def __init__(self, metrics: Optional[list[str]] = None) -> None:
        """Choose what is reported.

        Args:
            metrics: names of logged values; None is all of them.
        """
        super().__init__()
        self._metrics = metrics
        self._epoch = 0  # that was reported last

    def on_validation_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Report, and see whether to stop."""
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        if not fitting or not in_study():
            return
        self._epoch = max(trainer.current_epoch + 1, self._epoch + 1)
        metrics = self._chosen(trainer)
        stop = trainer.is_global_zero and report(self._epoch, **metrics)
        if trainer.strategy.broadcast(stop):
            _save(trainer)
            trainer.should_stop = True

    def on_train_batch_end(
        self,
        trainer: "Trainer",
        pl_module: "LightningModule",
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Where nobody else has to leave at the same step, see whether to stop.

        Raises:
            SystemExit: it is to. By `should_stop` Lightning would validate half an epoch, and count
                and save it as a whole one.
        """
        every = trainer.val_check_batch or math.inf
        validates = trainer.is_last_batch or (batch_idx + 1) % every == 0
        if trainer.world_size == 1 and not validates and should_stop():
            _save(trainer)
            raise SystemExit(0)

    def state_dict(self) -> dict[str, Any]:
        """The count of validations, which goes on where training goes on."""
        return {"epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._epoch = state_dict["epoch"]

    def _chosen(self, trainer: "Trainer") -> dict[str, float]:
        # By all processes: a value that is the mean over them is computed when it is looked at.
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._metrics is None:
            return logged
        missing = [name for name in self._metrics if name not in logged]
        if missing:
            raise ValueError(
                f"TomostudyCallback: {', '.join(missing)} was not logged; "
                f"logged are {', '.join(sorted(logged)) or 'none'}"
            )
        return {name: logged[name] for name in self._metrics}


def _save(trainer: "Trainer") -> None:
    saver: Any = trainer.checkpoint_callback
    if getattr(saver, "dirpath", None):
        at = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        name = saver.format_checkpoint_name(
            {**trainer.callback_metrics, **at}, saver.CHECKPOINT_NAME_LAST
        )
        trainer.save_checkpoint(os.fspath(name))
