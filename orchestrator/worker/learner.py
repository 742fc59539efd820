"""What changes while a trial trains: weights, optimiser, schedule, progress."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from orchestrator.recipe import TrainingRecipe
from orchestrator.worker.averaging import Average
from orchestrator.worker.clipping import Clipping
from orchestrator.worker.guard import Guard, GuardedLoss
from orchestrator.worker.learning_rate import LearningRate
from orchestrator.worker.loss_means import LossMeans
from orchestrator.worker.progress import Progress
from orchestrator.worker.seeding import mix, random_state, reseed, restore_random_state
from orchestrator.worker.trial import Trial


class Learner:
    """A model in training, the same on all ranks."""

    def __init__(self, trial: Trial) -> None:
        recipe, group = trial.recipe, trial.group
        reseed(mix(trial.plan.seed, "weights"))
        model = trial.family.build_model()
        trial.family.initialize(model)
        self.model = model.to(group.device)
        self.average = Average(self.model, recipe.ema_decay) if recipe.ema_decay else None
        self.guard = Guard(GuardedLoss(trial.family, self.model, recipe, group), group)
        self.optimizer = build_optimizer(self.model, recipe)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=recipe.precision == "fp16")
        self.learning_rate = LearningRate(recipe, trial.plan.objective.direction)
        self.clipping = Clipping.of(recipe)
        self.losses = LossMeans()
        self.progress = Progress()

    @property
    def judged_model(self) -> nn.Module:
        """The model that is validated, drawn and kept: the average where there is one."""
        return self.average.model if self.average else self.model

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_rate(self, rate: float) -> None:
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate

    def parameters(self) -> list[nn.Parameter]:
        """The trainable ones."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def state(self, losses: dict[str, Any]) -> dict[str, Any]:
        """All that training needs to go on as if it had never stopped, but `judged_model`.

        Args:
            losses: the epoch's loss sums over all ranks.
        """
        return {
            "weights": self.model.state_dict() if self.average else None,
            "average_updates": self.average.updates if self.average else 0,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "learning_rate": self.learning_rate.state(),
            "clipping": self.clipping.state(),
            "progress": vars(self.progress),
            "losses": losses,
            "random": random_state(),
        }

    def restore(self, judged: dict[str, Any], state: dict[str, Any], trial: Trial) -> None:
        """Go on from the weights of `judged_model` and what `state` gave."""
        self.judged_model.load_state_dict(judged)
        if self.average:
            self.model.load_state_dict(state["weights"])
            self.average.updates = state["average_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.learning_rate.restore(state["learning_rate"])
        if "clipping" in state:  # not in checkpoints of before there was a moving threshold
            self.clipping.restore(state["clipping"])
        self.progress = Progress(**state["progress"])
        self.losses.restore(state["losses"], trial.group)
        restore_random_state(state["random"])


def build_optimizer(model: nn.Module, recipe: TrainingRecipe) -> Optimizer:
    """The recipe's optimiser over the model's trainable parameters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return SGD(parameters, lr=rate, momentum=recipe.momentum, weight_decay=decay)
    adam = AdamW if recipe.optimizer == "adamw" else Adam
    return adam(parameters, lr=rate, betas=recipe.betas, eps=recipe.epsilon, weight_decay=decay)
