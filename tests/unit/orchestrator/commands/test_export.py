import hashlib
import json
import os
import re

import pytest
import yaml

from orchestrator.commands import export
from orchestrator.commands.export import export_command, export_trial
from protocol import files
from protocol.errors import SettingsError, UserError
from protocol.messages import Ending, load_plan, save_message
from protocol.recipe import Recipe
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
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
    assert export_trial(made.folder, "best", out) == 1
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
    assert capsys.readouterr().out.startswith(f"Trial 1 of study made is in {tmp_path / 'out'};")


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
