import pytest
import torch

from protocol.messages import Finished
from tests.ranks import attempt, events, make_plan
from worker.calls.digests import digests
from worker.training.checkpoint import save_checkpoint


def test_a_trials_checkpoints_have_the_digests_that_its_events_tell(tmp_path):
    trial = make_plan(tmp_path)
    assert attempt(trial) == [0]
    (finished,) = events(trial, Finished)
    found = digests([str(trial.last), str(trial.best)])
    last, best = found.values()
    assert (last["digest"], last["step"], last["problem"]) == (finished.digest, 12, "")
    assert (best["digest"], best["epoch"]) == (finished.best_digest, finished.best_epoch)


def test_another_content_under_a_fitting_checksum_has_another_digest(tmp_path):
    trial = make_plan(tmp_path)
    assert attempt(trial) == [0]
    saved = torch.load(trial.best, weights_only=True)
    next(iter(saved["content"]["model"].values())).add_(1.0)
    torch.save(saved, trial.best)
    assert "does not match its checksum" in digests([str(trial.best)])[str(trial.best)]["problem"]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_any_byte_that_is_changed_or_added_is_told(tmp_path):
    path = tmp_path / "best.pth"
    large = torch.arange(600, dtype=torch.float32)
    save_checkpoint(path, {"model": {"one": torch.ones(2), "other": large}, "epoch": 1})
    written = path.read_bytes()
    # Of the large tensor, which is most of the file, a few; of all that describes it each.
    places = [place for place in range(len(written)) if not 400 < place < 2000 or place % 97 == 0]
    for place in [*places, len(written)]:
        changed = bytearray(written)
        if place == len(written):
            changed += b"\0"
        else:
            changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        assert digests([str(path)])[str(path)]["problem"], place
    path.write_bytes(written)
    assert not digests([str(path)])[str(path)]["problem"]


def test_what_is_missing_or_damaged_is_told_in_a_sentence(tmp_path):
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04")
    paths = [str(tmp_path / name) for name in ("none.pth", "torn.pth")]
    missing, torn = digests(paths).values()
    assert missing["problem"].startswith("there is no checkpoint")
    assert "damaged" in torn["problem"]
