from orchestrator.showing.table import table


def test_every_trial_is_a_row_with_what_the_study_has_of_it(seen):
    found = table(seen)
    place = {name: index for index, name in enumerate(found["columns"])}
    assert len(found["rows"]) == 6
    for row, trial in zip(found["rows"], seen.record.trials, strict=True):
        assert row[place["trial"]] == trial.number
        assert row[place["state"]] == trial.state
        assert row[place["psnr"]] == trial.value
        assert row[place["reason"]] == trial.reason
        assert row[place["learning_rate"]] == trial.params["learning_rate"]
        assert row[place["ssim"]] == trial.metrics.get("ssim")
    assert found["descending"]
    assert found["columns"][found["sorted"]] == "psnr"
