import json
from importlib.metadata import version

from worker.calls import surroundings


def test_what_bits_may_depend_on_is_told_in_words_that_json_can_hold():
    found = surroundings.surroundings()
    assert json.loads(json.dumps(found)) == found
    assert found["torch"] == version("torch")
    assert {"processor", "instructions", "python", "numpy"} <= found.keys()
    assert all(found.values())


def test_a_program_without_a_checkout_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(surroundings, "_ROOT", tmp_path)
    assert "commit" not in surroundings.surroundings()
