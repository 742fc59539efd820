import json

import pytest
from pydantic import ValidationError

from data.brain.layout import count_folds
from data.brain.lists import healthy_cases, lesion_cases
from data.brain.prepare.phantoms import BRAIN_PHANTOMS
from data.brain.prepare.settings import BrainPhantomSettings
from protocol.errors import DataError

SMALL = {"shape": (16, 16, 8), "train": 2, "validation": 1, "test": 1, "lesions": 1}


def names(root, split, fold=0):
    return [case.subject for case in healthy_cases(root, split, fold, "t2")]


def test_every_list_has_as_many_subjects_as_asked_for_and_their_files(made_brains):
    assert count_folds(made_brains) == 2
    for fold in (0, 1):
        assert len(names(made_brains, "train", fold)) == 3
        assert len(names(made_brains, "validation", fold)) == 2
    assert len(names(made_brains, "test")) == 2
    for split in ("validation", "test"):
        for mode in ("t1", "t2"):
            cases = lesion_cases(made_brains, "Synthetic", split, mode)
            assert len(cases) == 2
            assert all(c.image.is_file() and c.segmentation.is_file() for c in cases)
    for mode in ("t1", "t2"):
        for case in healthy_cases(made_brains, "train", 0, mode):
            assert case.image.is_file()
            assert case.mask.is_file()


def test_the_same_settings_make_the_same_files(tmp_path):
    for name in ("a", "b"):
        BRAIN_PHANTOMS.make(tmp_path / name, BrainPhantomSettings(**SMALL, folds=1))
    for path in (tmp_path / "a").rglob("*.csv"):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()
    import nibabel

    for path in (tmp_path / "a").rglob("*.nii.gz"):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        one, two = (nibabel.loadsave.load(file).get_fdata() for file in (path, other))
        assert (one == two).all()


def test_what_is_there_is_kept_if_its_settings_fit_and_refused_if_not(tmp_path):
    root, settings = tmp_path / "set", BrainPhantomSettings(**SMALL, folds=1)
    BRAIN_PHANTOMS.ensure(root, settings)
    before = (root / "made_from.json").stat().st_mtime_ns
    BRAIN_PHANTOMS.ensure(root, settings)
    assert (root / "made_from.json").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"made with seed 0, but data\.generate asks for seed 3"):
        BRAIN_PHANTOMS.ensure(root, settings.model_copy(update={"seed": 3}))
    (root / "made_from.json").write_text("{")
    with pytest.raises(DataError, match="is truncated or damaged"):
        BRAIN_PHANTOMS.ensure(root, settings)
    (root / "made_from.json").write_text(json.dumps({"prepared": {}}))
    BRAIN_PHANTOMS.ensure(root, settings)  # the user's own


def test_more_folds_than_there_are_disjoint_ones_are_refused():
    BrainPhantomSettings(train=4, validation=2, folds=3)
    with pytest.raises(ValidationError, match="folds: found 4, expected at most 3"):
        BrainPhantomSettings(train=4, validation=2, folds=4)
