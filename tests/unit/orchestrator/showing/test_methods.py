from importlib.metadata import version

from orchestrator.confirmation.saved import Confirmation, Confirmed, Run, save_confirmation
from orchestrator.showing.look import look
from orchestrator.showing.methods import methods
from tests.made_study import MadeStudy


def confirmed(folder):
    runs = [
        Run(trial=n, repetition=n, seed=n, state="complete", value=30.0 + n, reason="")
        for n in range(3)
    ]
    trial = Confirmed(trial=2, params={}, search_value=31.25, asked=3, runs=runs, mean=31.0,
                      deviation=1.0, low=28.5, high=33.5)  # fmt: skip
    save_confirmation(
        folder,
        Confirmation(
            study="made",
            metric="psnr",
            direction="maximize",
            level=0.95,
            finished=True,
            trials=[trial],
            verdict="Trial 2 holds.",
        ),
    )


def test_the_paragraph_has_the_studys_own_numbers(made, seen):
    text = methods(seen)
    assert "Hyperparameters of fbp_window were searched for the highest psnr" in text
    assert f"Optuna {version('optuna')} (seed 3)" in text
    assert "learning_rate (0.0001 to 0.01, logarithmic)" in text
    assert "harmonics (10 to 100, step 10; while window is [fourier])" in text
    assert "Of 6 trials, 4 were trained to their end, 1 were stopped early, 1 diverged." in text
    assert "at most 4 epochs on 1 device (CPU)" in text
    assert "The best was trial 2 with psnr 31.25 at epoch 3" in text
    assert "was not confirmed" in text


def test_what_was_confirmed_stands_in_it_with_its_interval(made):
    confirmed(made.folder)
    text = methods(look(made.folder))
    assert "a mean psnr of 31 over 3 fresh seeds (95 % Student interval 28.5 to 33.5)" in text
    assert "not confirmed" not in text


def test_a_study_without_a_complete_trial_claims_nothing(tmp_path):
    made = MadeStudy(tmp_path / "runs")
    text = methods(look(made.folder))
    assert "No trial was completed." in text
    assert "confirmed" not in text
