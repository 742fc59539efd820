import yaml

from orchestrator.showing import asked
from orchestrator.showing.look import look
from tests.unit.orchestrator.showing.conftest import SEARCH


def test_the_space_is_told_as_it_was_asked(seen):
    assert asked.space(seen) == {
        "learning_rate": ("0.0001 to 0.01, logarithmic", ""),
        "window": ("full, [fourier], None", ""),
        "harmonics": ("10 to 100, step 10", "window is [fourier]"),
    }


def test_facts_are_those_of_the_settings(seen):
    facts = asked.facts(seen)
    assert facts["Family"] == "fbp_window"
    assert facts["Searched for"] == "the highest psnr on the validation split"
    assert (facts["Sampler"], facts["Seed"]) == ("tpe", "3")
    assert "Pruner" not in facts


def test_a_password_is_shown_nowhere(made):
    content = yaml.safe_load(made.folder.settings.read_text())
    content["settings"]["tracking"] = {"project": "postgresql://me:secret@host/x"}
    content["asked"] = {
        "sets": ["tracking.project=postgresql://me:secret@host/x"],
        "preset": "demo",
    }
    made.folder.settings.write_text(yaml.safe_dump(content))
    study = look(made.folder)
    told = asked.settings_text(study) + "".join(asked.commands(study).values())
    assert "secret" not in told
    assert "postgresql://me:***@host/x" in told


def test_commands_begin_the_study_anew_and_train_its_best_again(seen):
    commands = asked.commands(seen)
    assert any("reproduce" in c and c.endswith("--trial 2") for c in commands.values())
    assert yaml.safe_load(asked.settings_text(seen))["search"] == SEARCH
