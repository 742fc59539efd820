"""What a study records of its parent, and what its trials are given."""

from orchestrator.study.parent_record import ParentRecord, record_in
from protocol.folders import StudyFolder
from tests.searches import make_settings

RECORD = ParentRecord(
    checkpoint="/runs/direct/trial_3/best.pth",
    sha256="ab" * 32,
    study="/runs/direct",
    trial=3,
    family="direct64",
    metric="psnr",
    value=31.25,
    epoch=7,
)


def test_it_is_told_by_trial_study_value_and_epoch():
    assert RECORD.told() == "trial 3 of study direct, psnr 31.25 at epoch 7"


def test_a_given_file_is_told_by_its_path_and_digest():
    record = ParentRecord(checkpoint="/a/best.pth", sha256="ab" * 32)
    assert record.told() == "/a/best.pth, SHA-256 abababababab…"


def test_trials_get_the_study_s_own_file_and_the_digest_beside_their_recipe(tmp_path):
    settings = make_settings({"x": {"low": 0, "high": 1}}, {}, recipe={"epochs": 2})
    given = RECORD.given_to(settings, StudyFolder(tmp_path / "refine"))
    assert given.recipe == {
        "epochs": 2,
        "parent_file": str(tmp_path / "refine" / "parent.pth"),
        "parent_sha256": "ab" * 32,
    }
    assert settings.recipe == {"epochs": 2}


def test_a_record_survives_its_file_and_a_torn_one_counts_as_none():
    plain = RECORD.model_dump(mode="json")
    assert record_in(plain) == RECORD
    assert record_in(None) is None
    assert record_in({"study": "/runs/direct"}) is None
