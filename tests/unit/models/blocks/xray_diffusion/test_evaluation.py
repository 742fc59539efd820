import pytest
import torch

from data.xray_ct.dataset import XrayCtVolumes
from models.blocks.images.volume_metrics import psnr
from models.blocks.xray_diffusion.mean_volume import mean_volume
from models.blocks.xray_diffusion.tuning import score
from models.evaluation import Request
from protocol.errors import DataError
from tests.small_diffx2ct import awake, small_family


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def family(folder):
    return small_family(folder)


class Counting(torch.nn.Module):
    """A family's model that counts how often it is asked."""

    def __init__(self, model):
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, *inputs):
        self.calls += 1
        return self.model(*inputs)


@pytest.fixture
def model(family):
    torch.manual_seed(0)
    return Counting(awake(family.build_model()).eval())


def test_every_case_is_sampled_and_scored_beside_the_mean_volume(family, model, tmp_path):
    told = []
    verdict = family.evaluation().judge(
        model, Request(split="test", store=tmp_path, tell=told.append)
    )
    volumes = XrayCtVolumes(family.data, "test")
    assert [case.name for case in verdict.cases] == [volumes.name(0), volumes.name(1)]
    names = {"mae_hu", "psnr", "ssim"}
    for case in verdict.cases:
        assert case.scores.keys() == names | {f"mean_{name}" for name in names}
    target = torch.as_tensor(volumes[1]["ct"])[None]
    mean = mean_volume(family.data)[None]
    assert verdict.cases[1].scores["mean_psnr"] == pytest.approx(float(psnr(mean, target)))
    error = 2524 * float((mean - target).abs().mean())
    assert verdict.cases[1].scores["mean_mae_hu"] == pytest.approx(error, rel=1e-4)
    assert verdict.settings["sampler"] == "dpm_solver"
    assert any(volumes.name(1) in word for word in told)


def test_pictures_are_of_the_best_the_median_and_the_worst_case(family, model, tmp_path):
    verdict = family.evaluation().judge(model, Request(split="test", store=tmp_path))
    order = sorted(verdict.cases, key=lambda case: -case.scores["psnr"])
    stems = [stem for stem, _ in verdict.pictures]
    assert stems[0] == f"best_{order[0].name}"
    assert stems[-1] == f"worst_{order[-1].name}"
    assert len(verdict.pictures[0][1].panels) == 9


def test_sampled_volumes_are_kept_for_the_next_time(family, model, tmp_path):
    first = family.evaluation().judge(model, Request(split="test", store=tmp_path))
    calls = model.calls
    assert calls > 0
    again = family.evaluation().judge(model, Request(split="test", store=tmp_path))
    assert model.calls == calls
    assert [case.scores for case in first.cases] == [case.scores for case in again.cases]


def test_the_blending_can_be_chosen_after_training(folder, model, tmp_path):
    family = small_family(folder, overlap=0.25)
    request = Request(split="validation", store=tmp_path)
    tuning = family.evaluation().tuning(model, request)
    assert tuning.space == {"blend": {"choices": ["constant", "gaussian", "cosine"]}}
    assert tuning.defaults == {"blend": "cosine"}
    values = []
    for kind in ("constant", "cosine"):
        verdict = family.evaluation().judge(
            model, Request(split="validation", store=tmp_path, parameters={"blend": kind})
        )
        assert verdict.settings["blend"] == kind
        mean = sum(case.scores["psnr"] for case in verdict.cases) / len(verdict.cases)
        values.append(mean)
        (found,) = score([tuning.task], [{"blend": kind}])["scores"]
        assert found["value"] == pytest.approx(mean)
    assert values[0] != values[1]


def test_a_model_that_has_diverged_is_named_by_its_case(family, tmp_path):
    class Diverged(torch.nn.Module):
        def forward(self, noisy, *others):
            return torch.full_like(noisy, torch.nan)

    with pytest.raises(DataError, match=r"^phantom.*has NaN or infinite values"):
        family.evaluation().judge(Diverged(), Request(split="test", store=tmp_path))
    assert list(tmp_path.rglob("*.npy")) == []
