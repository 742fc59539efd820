import subprocess
import sys
from pathlib import Path

import pytest

from data.__main__ import main
from data.lodopab.dataset import LodopabDataset, LodopabSettings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("dash", ["_", "-"])
def test_options_are_taken_with_underscores_and_dashes(tmp_path, nifti, head, dash, capsys):
    source = nifti(tmp_path / "ct-of_head.nii.gz", (head + 1000) / 10)
    options = ["--intensity_range", "-5", "400", "--image_size", "24", "--angles=12", "--gap", "0"]
    words = [word.replace("_", dash) if word.startswith("--") else word for word in options]
    out = tmp_path / "my-set"
    assert main(["lodopab", "--source", str(source), "--out", str(out), *words]) == 0
    dataset = LodopabDataset(LodopabSettings(root=out), "train")
    assert dataset[0]["image"].shape == (1, 24, 24)
    assert f"--set data.root={out}" in capsys.readouterr().out


def test_phantoms_can_be_made_from_the_command_line(tmp_path):
    sizes = {"image-size": 16, "angles": 8, "detectors": 21, "train": 3, "validation": 1, "test": 1}
    words = [f"--{name}={value}" for name, value in sizes.items()]
    assert main(["phantoms", "--out", str(tmp_path / "set"), *words]) == 0
    dataset = LodopabDataset(LodopabSettings(root=tmp_path / "set"), "train")
    assert len(dataset) == 3
    assert dataset[0]["sinogram"].shape == (1, 8, 21)


def test_phantom_brains_can_be_made_from_the_command_line(tmp_path, capsys):
    from data.brain.dataset import BrainSettings, BrainSlices

    sizes = {"train": 3, "validation": 1, "test": 1, "lesions": 1, "folds": 1}
    words = [f"--{name}={value}" for name, value in sizes.items()]
    out = tmp_path / "set"
    assert main(["brain_phantoms", "--out", str(out), "--shape", "24", "24", "12", *words]) == 0
    said = capsys.readouterr().out
    assert f"data.root={out} --set data.crop=[24,24,12] --set data.size=[12,12,6]" in said
    settings = BrainSettings(root=out, crop=(24, 24, 12), size=(12, 12, 6))
    assert len(BrainSlices(settings, "train")) == 3


def test_brains_can_be_prepared_from_the_command_line(tmp_path, capsys):
    from data.brain.dataset import BrainSettings, BrainVolumes
    from data.brain.prepare.anatomy import draw_brain
    from data.brain.volume import write_upright

    for number in range(4):
        brain = draw_brain(0, number, (12, 20, 20))
        path = tmp_path / f"{number}_T1w.nii.gz"
        write_upright(path, brain.images["t1"], (2.0, 2.0, 2.0))
    out = tmp_path / "set"
    options = ["--source", str(tmp_path), "--lesions", "synthetic", "--mask-method", "nonzero"]
    assert main(["brain", "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert f"--preset ddpm2d --set data.root={out} --set data.mode=t1" in said
    assert "Split by subject" in said
    settings = BrainSettings(root=out, mode="t1", crop=(40, 40, 20), size=(20, 20, 10))
    (volume,) = BrainVolumes(settings, "test", "lesion")
    assert volume.segmentation.any()


def test_what_the_user_can_mend_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main(["lodopab", "--source", "gone.nii", "--out", str(tmp_path / "set")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no file or folder gone.nii")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "1", "0", "0"], "--split: found 0"),
        (["--image_size", "3"], "--image_size: found 3"),
        (["--intensity_range", "5", "2"], "intensity_range 5 2: the first must be the smaller"),
        (["--photons", "-1"], "--photons: found -1"),
    ],
)
def test_an_option_out_of_range_is_named(tmp_path, words, said, capsys):
    assert main(["lodopab", "--source", "x.nii", "--out", str(tmp_path / "set"), *words]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_option_is_exit_code_2(tmp_path, capsys):
    assert main(["phantoms", "--out", str(tmp_path), "--sizes", "3"]) == 2
    assert "--sizes" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["lodopab"], ["phantoms"], ["brain"], ["brain_phantoms"]])
def test_help_speaks_of_the_users_command(command, capsys):
    assert main([*command, "--help"]) == 0
    assert f"Usage: ./run_study.sh prepare {' '.join(command)}".strip() in capsys.readouterr().out


def test_an_interruption_says_that_nothing_was_written(tmp_path, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("data.physics.parallel.simulate", interrupt)
    assert main(["phantoms", "--out", str(tmp_path / "set"), "--image_size", "16"]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".set.lock"]


def test_help_is_quick_because_it_loads_nothing_heavy():
    code = (
        "import sys; from data.__main__ import main; main(['lodopab', '--help']); "
        "print([m for m in ('numba', 'scipy', 'numpy', 'h5py', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_can_be_run():
    command = [sys.executable, "-m", "data", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "phantoms" in done.stdout
    assert "brain" in done.stdout
