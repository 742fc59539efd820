"""A callback of Hugging Face's Trainer that reports each evaluation, and follows when to stop.

    from tomostudy_transformers import TomostudyCallback

    trainer = Trainer(..., callbacks=[TomostudyCallback()])

For use elsewhere copy this file and tomostudy_report.py; outside a study it does nothing.
"""

from typing import Any, Optional

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tomostudy_report import in_study, report, should_stop

__all__ = ["TomostudyCallback"]


class TomostudyCallback(TrainerCallback):
    """Reports an evaluation's metrics under their own names, such as eval_loss.

    Epochs are whole numbers from 1 on: of an evaluation the nearest one to where training is, or
    one more than that of the evaluation before, so that several in an epoch are told apart. When
    the study says stop, all processes save and leave after this evaluation; a process alone does so
    after the step that it is at.
    """

    def __init__(self, metrics: Optional[list[str]] = None) -> None:
        """Choose what is reported.

        Args:
            metrics: names as the Trainer has them; None is all but how fast the evaluation was.
        """
        self._metrics = metrics
        self._leaving = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin anew, also in a Trainer that has left before."""
        self._leaving = False

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report, and see whether to stop."""
        if not in_study() or self._leaving or state.global_step == 0:
            return
        if report(_epoch(state), **self._chosen(kwargs["metrics"])):
            self._leave(control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Where nobody else has to leave at the same step, see whether to stop."""
        evaluates = control.should_evaluate or float(state.epoch or 0).is_integer()
        if args.world_size == 1 and not evaluates and should_stop():
            self._leave(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Evaluate no epoch that was left in its middle."""
        if self._leaving:
            control.should_evaluate = False

    def _leave(self, control: TrainerControl) -> None:
        self._leaving = control.should_training_stop = control.should_save = True

    def _chosen(self, metrics: dict[str, Any]) -> dict[str, float]:
        found = {name: value for name, value in metrics.items() if name != "epoch"}
        if self._metrics is None:
            speeds = _speeds(found)
            return {
                name: value
                for name, value in found.items()
                if hasattr(value, "__float__") and name not in speeds
            }
        missing = [name for name in self._metrics if name not in found]
        if missing:
            raise ValueError(
                f"TomostudyCallback: {', '.join(missing)} is not among the evaluation's metrics, "
                f"which are {', '.join(sorted(found))}"
            )
        return {name: found[name] for name in self._metrics}


def _speeds(metrics: dict[str, Any]) -> set[str]:
    """What the Trainer adds of an evaluation's speed, under its prefix; no metric of the user's."""
    rate, others = "_samples_per_second", ("_runtime", "_steps_per_second")
    prefixes = [name[: -len(rate)] for name in metrics if name.endswith(rate)]
    full = [prefix for prefix in prefixes if all(prefix + name in metrics for name in others)]
    return {prefix + name for prefix in full for name in (rate, *others, "_model_preparation_time")}


def _epoch(state: TrainerState) -> int:
    """The number of the evaluation that has just ended.

    Counted anew from the log, which a checkpoint keeps, so that it is the same after a resumption.
    """
    evaluations = {
        entry["step"]: entry["epoch"]
        for entry in state.log_history
        if any(name.startswith("eval_") for name in entry)
    }
    evaluations.setdefault(state.global_step, state.epoch or 0)
    evaluations.pop(0, None)  # before the first step
    number = 0
    for epoch in evaluations.values():
        number = max(round(epoch), number + 1)
    return number
