"""What changes while a trial trains: weights, optimiser, schedule, progress."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from protocol.objective import Objective
from protocol.recipe import TrainingRecipe
from worker.ranks.guard import Guard, GuardedLoss, ReplicaGuard
from worker.ranks.seeding import mix, random_state, reseed, restore_random_state
from worker.ranks.trial import Trial
from worker.state.averages import Average, LossMeans
from worker.state.clipping import Clipping
from worker.state.learning_rate import LearningRate
from worker.state.placement import Placement, Whole
from worker.state.progress import Progress


class Learner:
    """A model in training, the same on all ranks."""

    def __init__(self, trial: Trial) -> None:
        recipe = trial.recipe
        reseed(mix(trial.plan.seed, "weights"))
        model = trial.family.build_model()
        trial.family.initialize(model)
        self.placement = place_model(trial, model)
        self.model = self.placement.model
        del model
        # Looked up once: walking through a model's modules takes as long as a small layer.
        self._trained = self.placement.named_trained()
        self._parameters = [parameter for _, parameter in self._trained]
        self.average = Average(self.model, recipe.ema_decay) if recipe.ema_decay else None
        self.guard = _guard(trial, self.placement)
        self.optimizer = optimizer_over(self.parameters(), recipe)
        self.scaler = _scaler(trial)
        self.learning_rate = LearningRate(recipe, _watched(trial))
        self.clipping = Clipping.of(recipe)
        self.losses = LossMeans()
        self.progress = Progress()

    @property
    def judged_model(self) -> nn.Module:
        """The model that is validated, drawn and kept: the average where there is one."""
        return self.average.model if self.average else self.model

    @property
    def judged_runner(self) -> nn.Module:
        """What to call in order to run `judged_model`, where one process can."""
        return self.placement.runner(self.judged_model)

    def judged_weights(self) -> dict[str, Tensor]:
        """The whole `judged_model` on rank 0; to be called by all ranks."""
        return self.placement.weights(self.judged_model)

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_rate(self, rate: float) -> None:
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate

    def parameters(self) -> list[nn.Parameter]:
        """The trainable ones that are here."""
        return self._parameters

    def named_trained(self) -> list[tuple[str, nn.Parameter]]:
        """The trainable ones that are here, by their names in the whole model."""
        return self._trained

    def state(self, losses: dict[str, Any]) -> dict[str, Any]:
        """All that training needs to go on as if it had never stopped, but `judged_model`.

        It is whole on rank 0, and the same however the model is cut; to be called by all ranks.

        Args:
            losses: the epoch's loss sums over all ranks.
        """
        return {
            "weights": self.placement.weights(self.model) if self.average else None,
            "average_updates": self.average.updates if self.average else 0,
            "optimizer": self.placement.optimizer_state(self.optimizer),
            "scaler": self.scaler.state_dict(),
            "learning_rate": self.learning_rate.state(),
            "clipping": self.clipping.state(),
            "progress": vars(self.progress),
            "losses": losses,
            "random": random_state(),
            "arrival": self.guard.arrival(),
        }

    def restore(self, judged: dict[str, Any], state: dict[str, Any], trial: Trial) -> None:
        """Go on from the weights of `judged_model` and what `state` gave."""
        self.placement.load(self.judged_model, judged)
        if self.average:
            self.placement.load(self.model, state["weights"])
            self.average.updates = state["average_updates"]
        self.placement.load_optimizer(self.optimizer, state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.learning_rate.restore(state["learning_rate"])
        if "clipping" in state:  # not in checkpoints of before there was a moving threshold
            self.clipping.restore(state["clipping"])
        self.progress = Progress(**state["progress"])
        self.losses.restore(state["losses"], trial.group)
        restore_random_state(state["random"])
        self.guard.follow(state.get("arrival", []))  # not in checkpoints of before it was kept


def _watched(trial: Trial) -> Objective:
    """What the `plateau` schedule follows."""
    metric = trial.recipe.plateau_metric
    if metric is None:
        return trial.plan.objective
    return Objective(metric=metric, direction=trial.family.metrics[metric])


def _guard(trial: Trial, placement: Placement) -> Guard:
    if trial.group.chain.ranks > 1:
        from worker.pipeline.guard import StageGuard
        from worker.pipeline.part import Part

        assert isinstance(placement.model, Part)
        return StageGuard(trial, placement.model)
    runner = placement.runner(placement.model)
    loss = GuardedLoss(trial.family, runner, trial.recipe, trial.group)
    return ReplicaGuard(loss, trial.group, trial.plan.seed, trial.tick)


def _scaler(trial: Trial) -> torch.amp.GradScaler:
    device, enabled = trial.group.device.type, trial.recipe.precision == "fp16"
    if trial.group.chain.ranks == 1:
        return torch.amp.GradScaler(device, enabled=enabled)
    from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

    # All stages skip a step that one of them has to skip.
    return ShardedGradScaler(device, enabled=enabled)


def optimizer_over(parameters: list[nn.Parameter], recipe: TrainingRecipe) -> Optimizer:
    """The recipe's optimiser over these parameters."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return SGD(parameters, lr=rate, momentum=recipe.momentum, weight_decay=decay)
    adam = AdamW if recipe.optimizer == "adamw" else Adam
    return adam(parameters, lr=rate, betas=recipe.betas, eps=recipe.epsilon, weight_decay=decay)


def place_model(trial: Trial, model: nn.Module) -> Placement:
    """Bring a new model from the CPU to where the plan wants it; `model` is not used any more.

    Raises:
        SettingsError: the family's models cannot be cut, or not into as many stages.
    """
    if trial.plan.stages == 1:
        return Whole(model.to(trial.group.device))
    # Only a trial that needs them pays for their imports.
    if trial.plan.mapped:
        from worker.pipeline.device_map import Mapped

        return Mapped(trial.family, model, trial.plan.devices)
    from worker.pipeline.staged import Staged

    return Staged(trial, model)
