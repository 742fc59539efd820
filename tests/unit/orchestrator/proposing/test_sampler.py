import itertools
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from orchestrator.proposing.sampler import make_sampler
from orchestrator.settings.space import distribution
from protocol.errors import SettingsError
from tests.searches import CONDITIONAL, NUMBERS, SmallSearch, make_settings

GRID = {"a": {"choices": ["u", "v", "w"]}, "b": {"low": 1, "high": 2}}
SEARCHES = {
    "tpe": (NUMBERS, {"n_startup_trials": 3}),
    "tpe in groups": (CONDITIONAL, {"n_startup_trials": 3}),
    "tpe by key": (CONDITIONAL, {"n_startup_trials": 3, "multivariate": False}),
    "random": (CONDITIONAL, {"kind": "random"}),
    "cmaes": (NUMBERS, {"kind": "cmaes", "popsize": 4}),
    "cmaes with sigma": (NUMBERS, {"kind": "cmaes", "popsize": 4, "sigma0": 0.2}),
    "gp": (NUMBERS, {"kind": "gp", "n_startup_trials": 2}),
    "grid": (GRID, {"kind": "grid"}),
    "qmc": (CONDITIONAL, {"kind": "qmc"}),
    "halton": (NUMBERS, {"kind": "qmc", "qmc_type": "halton", "scramble": False}),
}


@pytest.fixture(params=SEARCHES)
def settings(request):
    search, sampler = SEARCHES[request.param]
    return make_settings(search, sampler, seed=5)


TRIALS = 7


@pytest.mark.filterwarnings("error")
def test_trials_that_were_left_half_asked_are_completed_to_the_point_they_would_have_been(
    settings, tmp_path
):
    whole = SmallSearch(tmp_path / "whole", settings).run(TRIALS)
    broken = SmallSearch(tmp_path / "broken", settings)
    assert broken.run_with_kills(TRIALS) == whole
    assert [trial.number for trial in broken.trials()] == list(range(TRIALS))
    for key, spec in settings.search.items():
        values = [point[key] for point in whole if key in point]
        assert spec.when or len(set(values)) > 1, f"{key} is searched"
        assert all(
            distribution(spec)._contains(distribution(spec).to_internal_repr(v)) for v in values
        )


@pytest.mark.parametrize("kind", ["tpe in groups", "random", "cmaes", "qmc"])
def test_another_seed_asks_for_other_points(kind, tmp_path):
    search, sampler = SEARCHES[kind]
    one, other = (
        SmallSearch(tmp_path / str(seed), make_settings(search, sampler, seed=seed)).run(3)
        for seed in (1, 2)
    )
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_tpe_in_groups_asks_the_same_in_every_process():
    program = """
import json, optuna
from pathlib import Path
from orchestrator.proposing.ask import Asker
from orchestrator.settings.space import Space
from protocol.folders import StudyFolder
from tests.searches import CONDITIONAL, make_settings, objective
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study()
settings = make_settings(CONDITIONAL, {"n_startup_trials": 3})
space = Space.of(settings.search, {}, {"epochs": 1})
asker = Asker(StudyFolder(Path("none")), study, settings, space)
for _ in range(12):
    trial, recipe = asker.ask()
    study.tell(trial, objective(recipe.given))
print(json.dumps([trial.params for trial in study.trials]))
"""
    answers = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[4],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert len(json.loads(answers[0])) == 12
    assert len(set(answers)) == 1


# ------------------------------------------------------------------------------- TPE


def test_tpe_takes_up_a_range_that_was_widened_for_a_conditional_search(tmp_path):
    """Optuna's groups keep the first range that they ever saw."""
    narrow = CONDITIONAL | {"scale": {"low": 0.4, "high": 0.41}}
    SmallSearch(tmp_path, make_settings(narrow, {"n_startup_trials": 2})).run(4)
    wide = SmallSearch(tmp_path, make_settings(CONDITIONAL, {"n_startup_trials": 2}))
    scales = [point["scale"] for point in wide.run(10)[4:]]
    assert max(scales) > 0.5


@pytest.mark.parametrize("kind", ["tpe", "tpe in groups", "cmaes", "gp"])
def test_a_range_may_be_narrowed_in_mid_study(kind, tmp_path):
    search, sampler = SEARCHES[kind]
    key, low, high = ("scale", 0.4, 0.5) if "scale" in search else ("x", -1.0, -0.5)
    SmallSearch(tmp_path, make_settings(search, sampler)).run(5)
    narrow = search | {key: {"low": low, "high": high}}
    points = SmallSearch(tmp_path, make_settings(narrow, sampler)).run(4)[5:]
    assert len(points) == 4
    assert all(low <= point[key] <= high for point in points)


JOINT = {
    "tpe": {"multivariate": True, "n_startup_trials": 3},
    "tpe in groups": {"multivariate": True, "group": True, "n_startup_trials": 3},
    "cmaes": {"kind": "cmaes", "popsize": 4},
    "gp": {"kind": "gp", "n_startup_trials": 2},
}


@pytest.mark.parametrize("sampler", JOINT.values(), ids=JOINT)
@pytest.mark.parametrize("moved", [(0.5, 1.0), (-2.0, 2.0)], ids=["narrower", "wider"])
def test_after_a_range_has_moved_all_keys_are_proposed_jointly_in_the_ranges_of_now(
    sampler, moved, tmp_path
):
    SmallSearch(tmp_path, make_settings(NUMBERS, sampler)).run(5)
    settings = make_settings(NUMBERS | {"x": {"low": moved[0], "high": moved[1]}}, sampler)
    search = SmallSearch(tmp_path, settings)
    now = {key: distribution(spec) for key, spec in sorted(settings.search.items())}
    trial, _ = search.asker.ask()
    frozen = search.trials()[-1]
    joint = make_sampler(settings.sampler, settings.search, settings.seed, frozen.number)
    assert joint.infer_relative_search_space(search.study, frozen) == now
    assert trial.params.keys() == now.keys()
    assert trial.params == joint.sample_relative(search.study, frozen, now)
    assert all(now[key]._contains(now[key].to_internal_repr(trial.params[key])) for key in now)


def test_tpe_without_joint_sampling_may_have_conditions(tmp_path):
    settings = make_settings(CONDITIONAL, {"multivariate": False, "n_startup_trials": 1})
    assert len(SmallSearch(tmp_path, settings).run(4)) == 4


# ------------------------------------------------------------------------------- CMA-ES


def test_cmaes_replays_what_optunas_own_keeps_in_memory(tmp_path):
    """Beyond the first trial, which is random, and Optuna's random reseeding of each ask."""
    settings = make_settings(NUMBERS, {"kind": "cmaes", "popsize": 4}, seed=3)
    search = SmallSearch(tmp_path, settings)
    search.run(16)

    own = optuna.samplers.CmaEsSampler(seed=3, popsize=4)
    study = optuna.create_study(sampler=own)
    for trial in search.trials():
        study.add_trial(trial)
    space = {key: distribution(spec) for key, spec in sorted(settings.search.items())}
    optimizer = None
    for generation in itertools.count():
        # Optuna's class is given each generation in turn, as it would have met them.
        members = [t for t in search.trials() if t.system_attrs.get("cma:generation") == generation]
        if optimizer is None:
            transform = optuna._transform._SearchSpaceTransform(
                space, transform_step=True, transform_0_1=True
            )
            optimizer = own._init_optimizer(transform, study.direction)
        if len(members) < 4:
            break
        optimizer.tell([(transform.transform(t.params), t.value) for t in members])
    assert optimizer.generation == 3

    ours = make_sampler(settings.sampler, settings.search, 3, 16)._joint
    ours._asked = (study, space)
    replayed = ours._restore_optimizer(ours._get_trials(study))
    assert replayed.generation == optimizer.generation
    assert replayed.mean.tolist() == optimizer.mean.tolist()
    assert replayed._C.tolist() == optimizer._C.tolist()
    assert replayed._sigma == optimizer._sigma


@pytest.mark.parametrize("sampler", [{"kind": "cmaes", "popsize": 4}, {"n_startup_trials": 2}])
def test_nothing_pickled_is_kept_in_the_study(sampler, tmp_path):
    search = SmallSearch(tmp_path, make_settings(NUMBERS, sampler))
    search.run(8)
    connection = sqlite3.connect(search.folder.database)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    assert "trial_system_attributes" in tables
    rows = connection.execute("SELECT key, value_json FROM trial_system_attributes").fetchall()
    assert not [key for key, _ in rows if "optimizer" in key]
    for _, value in rows:
        text = json.loads(value)
        if isinstance(text, str) and len(text) > 20:
            with pytest.raises((ValueError, pickle.UnpicklingError)):
                pickle.loads(bytes.fromhex(text))


def test_a_generation_stays_what_it_was_when_a_straggler_comes_in(tmp_path):
    """Two trials at a time: the one that ends late must not change a generation in hindsight."""
    settings = make_settings(NUMBERS, {"kind": "cmaes", "popsize": 4}, seed=1)
    search = SmallSearch(tmp_path, settings)
    search.run(1)
    straggler = search.asker.ask()
    search.run(4)
    before = replayed(settings, search)
    search.tell(*straggler)
    after = replayed(settings, search)
    assert before.generation >= 1
    assert after.mean.tolist() == before.mean.tolist()


def replayed(settings, search):
    sampler = make_sampler(settings.sampler, settings.search, settings.seed, 9)._joint
    space = {key: distribution(spec) for key, spec in sorted(settings.search.items())}
    sampler._asked = (search.study, space)
    return sampler._restore_optimizer(sampler._get_trials(search.study))


# ------------------------------------------------------------------------------- sequences


def test_a_grid_search_tries_every_point_once(tmp_path):
    points = SmallSearch(tmp_path, make_settings(GRID, {"kind": "grid"})).run(6)
    assert {(point["a"], point["b"]) for point in points} == set(itertools.product("uvw", (1, 2)))


def test_a_grid_over_a_continuous_range_is_refused():
    settings = make_settings(NUMBERS, {"kind": "grid"})
    with pytest.raises(SettingsError, match="a grid search needs"):
        make_sampler(settings.sampler, settings.search, 0, 0)


def test_a_quasi_random_search_spreads_its_points_evenly(tmp_path):
    """Of the first eight points of a Sobol sequence each eighth of every key's range has one."""
    search = {"x": {"low": 0.0, "high": 8.0}, "y": {"low": 0.0, "high": 8.0}}
    points = SmallSearch(tmp_path, make_settings(search, {"kind": "qmc"})).run(8)
    for key in search:
        assert sorted(int(point[key]) for point in points) == list(range(8))
