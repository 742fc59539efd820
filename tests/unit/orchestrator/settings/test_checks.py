"""How what the family says of its settings is told to the person who wrote them."""

import importlib

import pytest

from orchestrator.settings.checks import check_with_family
from orchestrator.settings.layers import Layers
from orchestrator.study.parent_record import ParentRecord
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from tests.ranks import TOY
from tests.searches import make_settings

VOLUME_TOY = "tests/families/volume_toy.py:VolumeToy"
RATE = {"learning_rate": {"low": 1e-3, "high": 1e-1}}


class Here:
    """Calls in this process what a launcher calls in another."""

    def call(self, function, arguments, waiting):
        module, _, name = function.partition(":")
        return getattr(importlib.import_module(module), name)(**arguments)


def refused(settings, given):
    layers = Layers()
    layers.add(given, "refine.yml")
    with pytest.raises(SettingsError) as caught:
        check_with_family(settings, layers, Here(), lambda: None)
    return str(caught.value)


def child(folder, **changes):
    """Settings of a study whose parent is kept in `folder`."""
    settings = make_settings(RATE, {}, parent={"study": "direct"}, **changes)
    record = ParentRecord(checkpoint="best.pth", sha256="ab" * 32)
    return record.given_to(settings, StudyFolder(folder))


def test_a_family_without_a_parent_refuses_the_section_where_it_stands(tmp_path):
    told = refused(child(tmp_path, family=TOY), {"parent": {"study": "direct"}})
    assert told == (
        "refine.yml: parent: trials of this family start from no other model; remove the section"
    )


def test_what_is_wrong_with_the_parent_is_told_under_its_section(tmp_path):
    (tmp_path / "parent.pth").write_bytes(b"other weights")
    told = refused(child(tmp_path, family=VOLUME_TOY), {"parent": {"study": "direct"}})
    assert told == f"refine.yml: parent: {tmp_path}/parent.pth is another file"


def test_a_parent_file_of_one_s_own_is_told_under_its_own_key():
    recipe = {"parent_file": "/none.pth"}
    settings = make_settings(RATE, {}, family=VOLUME_TOY, recipe=recipe)
    told = refused(settings, {"recipe": recipe})
    assert told == "refine.yml: recipe.parent_file: there is no /none.pth"


def test_a_range_in_whole_numbers_for_a_key_that_takes_any_is_remarked_on():
    """Between 0 and 1 lies much that is meant to be searched; what is written so finds nothing."""
    search = {
        "dropout": {"low": 0, "high": 1},
        "weight_decay": {"low": 0.0, "high": 1},
        "width": {"low": 2, "high": 4},
        "learning_rate": {"low": 1, "high": 3, "step": 1},
    }
    layers = Layers()
    layers.add({"search": search}, "mine.yml")
    checked = check_with_family(make_settings(search, {}, family=TOY), layers, Here(), lambda: None)
    (remark,) = checked.remarks
    assert remark.startswith("mine.yml: search.dropout: whole numbers alone are searched")
    assert "0.0" in remark
