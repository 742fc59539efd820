import torch

from protocol.messages import Finished
from tests.ranks import attempt, events, make_plan
from worker.calls.digests import digests


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


def test_what_is_missing_or_damaged_is_told_in_a_sentence(tmp_path):
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04")
    paths = [str(tmp_path / name) for name in ("none.pth", "torn.pth")]
    missing, torn = digests(paths).values()
    assert missing["problem"].startswith("there is no checkpoint")
    assert "damaged" in torn["problem"]
