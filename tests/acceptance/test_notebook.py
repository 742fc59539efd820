"""Optuna's own table and plots work on a study of ours, as in a notebook."""

import optuna
import pytest

from tests.studio import Studio

NEEDED = "the extra `notebook` is not installed"
pandas = pytest.importorskip("pandas", reason=NEEDED)
graph_objects = pytest.importorskip("plotly.graph_objects", reason=NEEDED)

PLOTS = [
    "plot_edf",
    "plot_intermediate_values",
    "plot_optimization_history",
    "plot_parallel_coordinate",
    "plot_param_importances",
    "plot_rank",
    "plot_slice",
    "plot_timeline",
]


@pytest.fixture
def study(searched):
    database = Studio(searched).folder.database
    return optuna.load_study(study_name="x", storage=f"sqlite:///{database}")


def test_a_study_becomes_a_table_of_its_trials(study):
    table = study.trials_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["number"]) == [trial.number for trial in study.trials]
    assert list(table["state"]) == [trial.state.name for trial in study.trials]
    parameters = {f"params_{name}" for name in study.best_params}
    assert parameters <= set(table.columns)
    values = table.set_index("number")[f"value_{study.metric_names[0]}"]
    assert values[study.best_trial.number] == study.best_value


@pytest.mark.parametrize("plot", PLOTS)
def test_a_study_is_drawn_by_optunas_own_plots(study, plot):
    figure = getattr(optuna.visualization, plot)(study)
    assert isinstance(figure, graph_objects.Figure)
    assert figure.data
    assert figure.to_html(include_plotlyjs=False)
