import pytest

from orchestrator.launcher.local import LocalLauncher


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """A launcher whose server has everything imported that a study would."""
    log = tmp_path_factory.mktemp("launcher") / "forkserver.log"
    launcher = LocalLauncher(log=log, preload=("models.fbp_window",))
    yield launcher
    launcher.close()
