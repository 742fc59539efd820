import pytest
from optuna.artifacts import get_all_artifact_meta

from orchestrator.reporting.notes import upload_pictures
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def upload(made, trial):
    upload_pictures(trial, made.folder, made.trial(trial.number))
    metas = get_all_artifact_meta(trial)
    return {meta.filename: (made.folder.artifacts / meta.artifact_id) for meta in metas}


def test_every_picture_is_uploaded_once_however_often_it_is_asked_for(made):
    trial = made.begin()
    drawn = [made.draw(0, "sample_0", 10), made.draw(0, "sample_1", 200)]
    upload(made, trial)
    stored = upload(made, trial)
    assert {name: path.read_bytes() for name, path in stored.items()} == {
        path.name: path.read_bytes() for path in drawn
    }
    assert len(list(made.folder.artifacts.iterdir())) == 2


def test_a_picture_drawn_anew_takes_the_place_of_the_old_one(made):
    trial = made.begin()
    made.draw(0, grey=10)
    before = upload(made, trial)
    made.draw(0, grey=200)
    after = upload(made, trial)
    assert after == before
    assert after["sample_0.png"].read_bytes() == made.draw(0, grey=200).read_bytes()


@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_an_upload_that_a_kill_cut_short_is_mended(made, damage):
    trial = made.begin()
    picture = made.draw(0)
    stored = upload(made, trial)["sample_0.png"]
    if damage == "missing":
        stored.unlink()
    else:
        stored.write_bytes(picture.read_bytes()[:20])
    assert upload(made, trial)["sample_0.png"].read_bytes() == picture.read_bytes()


def test_a_kill_between_a_copy_and_the_database_leaves_no_file_that_nobody_knows(made, monkeypatch):
    trial = made.begin()
    made.draw(0)

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(trial.storage, "set_trial_system_attr", killed)
        with pytest.raises(SystemExit):
            upload(made, trial)
    stored = upload(made, trial)
    assert list(made.folder.artifacts.iterdir()) == [stored["sample_0.png"]]


def test_a_trial_without_pictures_makes_no_folder(made):
    upload(made, made.begin())
    assert not made.folder.artifacts.exists()
