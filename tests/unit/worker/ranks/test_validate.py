import pytest
import torch

from protocol.messages import Validated
from tests.families.toy import Toy, ToyData, ToySettings
from tests.ranks import attempt, events, make_plan
from worker.calls.show import evaluate
from worker.ranks.validate import Validator
from worker.training.checkpoint import load_checkpoint


@pytest.mark.parametrize(("samples", "batch_size"), [(5, 4), (3, 2), (1, 2), (8, 1)])
def test_uneven_shards_on_two_ranks_give_the_mean_over_all_samples(tmp_path, samples, batch_size):
    trial = make_plan(
        tmp_path,
        ranks=2,
        data={"validation_samples": samples},
        recipe={"epochs": 1, "batch_size": batch_size},
    )
    assert attempt(trial, ranks=2) == [0, 0]
    (event,) = events(trial, Validated)
    family = Toy(ToySettings(), ToyData(validation_samples=samples))
    model = family.build_model()
    model.load_state_dict(load_checkpoint(trial.best)["model"])
    dataset = family.dataset("validation")
    each = [dataset[index] for index in range(samples)]
    with torch.no_grad():
        found = family.evaluate(
            model,
            {key: torch.stack([torch.from_numpy(s[key]) for s in each]) for key in each[0]},
        )
    for name in family.metrics:
        assert event.metrics[name] == pytest.approx(found[name].double().mean().item(), rel=1e-6)
    assert evaluate(trial.best, "validation") == pytest.approx(event.metrics, rel=1e-6)


def test_a_metric_that_is_not_one_value_a_sample_is_a_clear_error(tmp_path):
    class Averaging(Toy):
        def evaluate(self, model, batch):
            return {name: value.mean() for name, value in super().evaluate(model, batch).items()}

    from worker.ranks.group import Group
    from worker.ranks.loading import BatchLoader

    family = Averaging(ToySettings(), ToyData())
    cpu = torch.device("cpu")
    loader = BatchLoader(family.dataset("validation"), seed=0, workers=0, device=cpu)
    validator = Validator(family, Group(rank=0, ranks=1, device=cpu), loader, [(0, 1)], 0)
    with pytest.raises(ValueError, match=r"Averaging.evaluate gave 'error' with shape \(\)"):
        validator.metrics(family.build_model())
