import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from protocol.objective import Objective
from protocol.recipe import TrainingRecipe
from worker.state.learning_rate import LearningRate

OBJECTIVES = [5.0, 4.0, 4.1, 4.2, 3.9999, 4.0, 4.3, 2.0, 2.5, 2.6, 2.7, 2.8, 1.0]


def schedule(direction="minimize", **recipe):
    watched = Objective(metric="error", direction=direction)
    return LearningRate(TrainingRecipe(learning_rate=0.1, **recipe), watched)


def of_torch(scheduler, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1)
    return optimizer, scheduler(optimizer, **options)


def test_warm_up_rises_linearly_to_the_rate_and_stays_there():
    rate = schedule(warmup_steps=4)
    found = [rate.at(step=step, epochs_done=0) for step in range(6)]
    assert found == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_step_drops_as_torchs_does():
    rate = schedule(scheduler="step", step_epochs=3, step_factor=0.2)
    optimizer, other = of_torch(StepLR, step_size=3, gamma=0.2)
    for epoch in range(10):
        assert rate.at(step=9, epochs_done=epoch + 0.9) == pytest.approx(
            optimizer.param_groups[0]["lr"]
        )
        optimizer.step()
        other.step()


def test_cosine_falls_as_torchs_does_to_the_minimum():
    rate = schedule(scheduler="cosine", epochs=10, minimum_learning_rate=0.01)
    optimizer, other = of_torch(CosineAnnealingLR, T_max=10, eta_min=0.01)
    for epoch in range(11):
        assert rate.at(step=9, epochs_done=epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        other.step()


@pytest.mark.parametrize(
    ("direction", "mode", "sign"), [("minimize", "min", 1), ("maximize", "max", -1)]
)
def test_plateau_drops_when_torchs_does_in_the_objectives_direction(direction, mode, sign):
    rate = schedule(
        direction,
        scheduler="plateau",
        plateau_factor=0.5,
        plateau_patience=1,
        minimum_learning_rate=0.02,
    )
    optimizer, other = of_torch(ReduceLROnPlateau, mode=mode, factor=0.5, patience=1, min_lr=0.02)
    rates = []
    for value in OBJECTIVES:
        objective = value if sign == 1 else 10 - value
        rate.validated({"error": objective, "other": 0.0})
        other.step(objective)
        rates.append(rate.at(step=9, epochs_done=0))
        assert rates[-1] == pytest.approx(optimizer.param_groups[0]["lr"])
    assert len(set(rates)) > 2


def test_a_restored_plateau_goes_on_where_it_was():
    whole, half = (schedule(scheduler="plateau") for _ in range(2))
    for value in OBJECTIVES[:4]:
        whole.validated({"error": value})
    half.restore(whole.state())
    for value in OBJECTIVES[4:]:
        whole.validated({"error": value})
        half.validated({"error": value})
        assert half.at(step=1, epochs_done=1) == whole.at(step=1, epochs_done=1)
