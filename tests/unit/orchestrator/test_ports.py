import os
import socket

import pytest

from orchestrator.errors import SettingsError
from orchestrator.ports import check_address, is_free, listens


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_refused_and_a_free_one_is_named(listener):
    with pytest.raises(
        SettingsError, match=rf"--port: {listener} cannot .*; try --port (\d+)"
    ) as e:
        check_address("127.0.0.1", listener)
    named = int(str(e.value).rpartition(" ")[2])
    assert named > listener
    check_address("127.0.0.1", named)


def test_a_free_port_is_accepted_and_left_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check_address("127.0.0.1", port)
    assert is_free("127.0.0.1", port)
    assert not listens("127.0.0.1", port)


def test_a_listener_is_noticed(listener):
    assert listens("127.0.0.1", listener)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machine_is_refused(host):
    with pytest.raises(SettingsError, match=f"--host: {host} cannot be listened on"):
        check_address(host, 8080)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_impossible_port_is_refused(port):
    with pytest.raises(SettingsError, match="expected 1 to 65535"):
        check_address("127.0.0.1", port)


@pytest.mark.skipif(os.geteuid() == 0, reason="a root user may listen everywhere")
def test_a_port_that_this_user_may_not_have_is_refused():
    with pytest.raises(SettingsError, match="--port: 1 cannot be listened on"):
        check_address("127.0.0.1", 1)
