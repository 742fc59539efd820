import hashlib
import json
import os
import re

import pytest
import yaml

from orchestrator.commands import export
from orchestrator.commands.export import export_command, export_trial
from orchestrator.confirmation.saved import Confirmation, Confirmed, Run, save_confirmation
from protocol import files
from protocol.errors import CheckpointError, SettingsError, UserError
from protocol.messages import Ending, load_plan, save_message
from protocol.recipe import Recipe
from tests.made_study import PLAYED_PROGRAM, MadeStudy


@pytest.fixture
def wrote(monkeypatch):
    """The half that has torch, played: what it was asked, and a file that it would write."""
    asked = []

    def play(family, checkpoint, *, bundle):
        asked.append((family, bundle))
        (checkpoint.parent / "model.pt2").write_bytes(b"a graph")
        return PLAYED_PROGRAM

    monkeypatch.setattr(export, "write_program", play)
    return asked


@pytest.fixture
def made(tmp_path, wrote):
    made = MadeStudy(tmp_path / "runs")
    made.add(22.0)
    made.add(26.0)
    made.draw(1, "validation_0000")
    return made


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_it_holds_the_checkpoint_the_settings_the_metrics_and_the_pictures(made, tmp_path):
    out = tmp_path / "best"
    assert export_trial(made.folder, "best", out).plan.trial == 1
    source = made.trial(1)
    assert (out / "best.pth").read_bytes() == source.best.read_bytes()
    drawn = source.pictures / "validation_0000.png"
    assert (out / "pictures" / drawn.name).read_bytes() == drawn.read_bytes()
    settings = yaml.safe_load((out / "settings.yml").read_text())
    params = made.study.trials[1].params
    assert settings["recipe"] == {**params, "epochs": 4}
    assert (settings["study"], settings["trial"], settings["family"]) == ("made", 1, "fbp_window")
    assert settings["objective"] == {"metric": "psnr", "direction": "maximize"}
    assert settings["data"] == {"root": "data"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == {
        "state": "complete",
        "epoch": 3,
        "objective": 26.0,
        "metrics": {"psnr": 26.0, "ssim": 0.5},
        "checkpoint_sha256": hashlib.sha256(source.best.read_bytes()).hexdigest(),
    }


def test_its_readme_loads_the_file_that_is_there(made, tmp_path):
    out = tmp_path / "my best"
    export_trial(made.folder, "best", out)
    readme = (out / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    path = re.search(r'load_model\("(.*)"\)', code)[1]
    assert (out.parent / path).is_file()
    compile(code, "README.md", "exec")
    assert "psnr 26 on the validation split" in readme
    assert "| harmonics |" in readme
    assert "| epochs |" not in readme


def test_a_trial_that_still_runs_is_exported_with_the_metrics_of_its_best_epoch(made, tmp_path):
    made.begin(epochs=2)
    export_trial(made.folder, "2", tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["state"], metrics["epoch"], metrics["objective"]) == ("running", 2, 22.0)


def test_a_pruned_trial_can_be_exported_by_its_number(made, tmp_path):
    made.add(None, ending=Ending.PRUNED, epochs=2, best_epoch=2, metrics={"psnr": 22.0})
    export_trial(made.folder, "2", tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["state"], metrics["epoch"]) == ("pruned", 2)


def test_an_earlier_export_is_replaced_only_when_asked(made, tmp_path):
    out = tmp_path / "out"
    export_trial(made.folder, "1", out)
    before = content(out)
    with pytest.raises(SettingsError, match="earlier export; --overwrite replaces it"):
        export_trial(made.folder, "0", out)
    assert content(out) == before
    export_trial(made.folder, "0", out, overwrite=True)
    assert not (out / "pictures").exists()
    assert yaml.safe_load((out / "settings.yml").read_text())["trial"] == 0


def test_a_folder_with_other_files_is_never_replaced(made, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    for place in (tmp_path / "home", made.folder.path, made.trial(1).path):
        before = content(place)
        with pytest.raises(SettingsError, match="holds other files; choose a new folder"):
            export_trial(made.folder, "best", place, overwrite=True)
        assert content(place) == before


def test_an_empty_folder_and_missing_parents_are_fine(made, tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        export_trial(made.folder, "best", out)
        assert (out / "best.pth").exists()


def test_a_file_in_the_way_is_refused(made, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(SettingsError, match="out is a file"):
        export_trial(made.folder, "best", tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_half_way_leaves_everything_as_it_was(made, tmp_path, monkeypatch, overwrite):
    out = tmp_path / "place" / "out"
    out.parent.mkdir()
    if overwrite:
        export_trial(made.folder, "0", out)
    before = content(out)

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_json", full_disk)
    with pytest.raises(UserError, match=r"cannot be made: .*No space left on device"):
        export_trial(made.folder, "best", out, overwrite=overwrite)
    assert content(out) == before
    assert os.listdir(out.parent) == (["out"] if overwrite else [])  # noqa: PTH208


def test_a_copy_that_differs_from_its_source_is_noticed(made, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "sha256_of", lambda path: "something else")
    with pytest.raises(UserError, match="the disk is faulty"):
        export_trial(made.folder, "best", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_made(made, tmp_path, capsys):
    export_command(made.folder, trial="best", out=tmp_path / "out")
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"Trial 1 of study made is in {tmp_path / 'out'}; README.md says what it is."
    assert lines == [
        "  model.pt2 gives the model's own output, but for 1e-07 of its range",
        "  no model.onnx: onnx not installed",
    ]


def test_the_card_says_what_goes_in_and_out_and_what_is_missing(made, tmp_path):
    export_trial(made.folder, "best", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| input `sinogram` | 1 × 4 × 4 | m | a scan |" in card
    assert "| output `image` | 1 × 4 × 4 | m; 0 to 1 | a scan |" in card
    assert "There is no model.onnx: onnx not installed." in card
    assert "| `model.onnx` |" not in card
    assert "| `model.pt2` |" in card
    assert "python predict.py sinogram.npy image.npy" in card
    for words in ("not a medical device", "Licence: (to be filled in", "Not confirmed"):
        assert words in card


def test_what_evaluating_and_confirming_found_goes_along(made, tmp_path):
    source = made.trial(1)
    scores = {"psnr": {"mean": 27.5, "std": 1.5, "cases": 4}}
    digest = hashlib.sha256(source.best.read_bytes()).hexdigest()
    found = {"checkpoint": {"sha256": digest}, "groups": {"all": {"cases": 4, "scores": scores}}}
    stale = {**found, "checkpoint": {"sha256": "of an earlier best"}}
    source.evaluation.write_text(json.dumps({"test": found, "validation": stale}))
    runs = [
        Run(trial=n, repetition=n, seed=n, state="complete", value=26.0 + n, reason="")
        for n in range(2)
    ]
    trial = Confirmed(
        trial=1, params={}, search_value=26.0, asked=2, runs=runs, mean=26.5, low=25.0, high=28.0
    )
    confirmation = Confirmation(
        study="made",
        metric="psnr",
        direction="maximize",
        level=0.95,
        finished=True,
        trials=[trial],
        verdict="",
    )
    save_confirmation(made.folder, confirmation)
    out = tmp_path / "out"
    export_trial(made.folder, "best", out)
    assert json.loads((out / "evaluation.json").read_text()) == {"test": found}
    kept = json.loads((out / "confirmation.json").read_text())
    assert (kept["mean"], kept["low"], kept["high"], kept["level"]) == (26.5, 25.0, 28.0, 0.95)
    card = (out / "README.md").read_text()
    assert "2 fresh seeds: psnr 26.5 on average, 95% interval 25 to 28." in card
    assert "| test, all (4 cases) | mean | standard deviation |" in card
    assert "| psnr | 27.5 | 1.5 |" in card
    assert "validation, all" not in card
    export_trial(made.folder, "0", tmp_path / "other")
    assert not (tmp_path / "other" / "confirmation.json").exists()


def test_a_bundle_has_monais_layout_and_is_replaced_as_any_export(made, tmp_path, wrote):
    out = tmp_path / "out"
    export_trial(made.folder, "best", out, layout="monai_bundle")
    assert wrote == [("fbp_window", True)]
    for name in ("configs/metadata.json", "docs/README.md", "LICENSE", "models/best.pth"):
        assert (out / name).is_file()
    assert 'load_model("out/models/best.pth")' in (out / "docs" / "README.md").read_text()
    export_trial(made.folder, "best", out, overwrite=True)
    assert not (out / "models").exists()
    assert (out / "best.pth").is_file()


def test_a_damaged_checkpoint_is_named_where_it_lies(made, tmp_path, monkeypatch):
    def refuse(family, checkpoint, *, bundle):
        raise CheckpointError(f"{checkpoint} is damaged")

    monkeypatch.setattr(export, "write_program", refuse)
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(made.trial(1).best))} is damaged"):
        export_trial(made.folder, "best", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_of_no_use_leaves_nothing(made, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise UserError("the model makes NaN")

    monkeypatch.setattr(export, "write_program", refuse)
    with pytest.raises(UserError, match="makes NaN"):
        export_trial(made.folder, "best", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_users_own_family_file_goes_along(made, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine: ...\n")
    plan = made.trial(1).plan
    save_message(plan, load_plan(plan).model_copy(update={"family": f"{mine}:Mine"}))
    export_trial(made.folder, "best", tmp_path / "best")
    assert (tmp_path / "best" / "mine.py").read_bytes() == mine.read_bytes()
    assert "`mine.py` beside `best.pth`" in (tmp_path / "best" / "README.md").read_text()
    mine.unlink()
    export_trial(made.folder, "best", tmp_path / "again")
    assert not (tmp_path / "again" / "mine.py").exists()
    assert "which must be there" in (tmp_path / "again" / "README.md").read_text()


def give_parent(made, number, content=b"the parent's weights", sha256=None):
    """Let a trial start from a model that its study keeps."""
    made.folder.parent.write_bytes(content)
    digest = sha256 or hashlib.sha256(content).hexdigest()
    plan = load_plan(made.trial(number).plan)
    keys = {"parent_file": str(made.folder.parent), "parent_sha256": digest}
    save_message(
        made.trial(number).plan,
        plan.model_copy(update={"recipe": Recipe.of({**plan.recipe.given, **keys})}),
    )


def test_the_model_that_a_trial_started_from_goes_along(made, tmp_path):
    give_parent(made, 1)
    export_trial(made.folder, "best", tmp_path / "best")
    assert (tmp_path / "best" / "parent.pth").read_bytes() == b"the parent's weights"
    readme = (tmp_path / "best" / "README.md").read_text()
    assert "| `parent.pth` | the model of another study that it builds upon |" in readme
    export_trial(made.folder, "0", tmp_path / "other")
    assert not (tmp_path / "other" / "parent.pth").exists()
    assert "parent.pth" not in (tmp_path / "other" / "README.md").read_text()


def test_a_parent_that_is_gone_or_has_changed_is_not_exported(made, tmp_path):
    give_parent(made, 1, sha256="ab" * 32)
    with pytest.raises(UserError, match=r"parent\.pth, from which the trial started, has changed"):
        export_trial(made.folder, "best", tmp_path / "out")
    made.folder.parent.unlink()
    with pytest.raises(UserError, match=r"there is no .*parent\.pth; put it back"):
        export_trial(made.folder, "best", tmp_path / "out")
    assert not (tmp_path / "out").exists()
