"""How ranks find each other; the nodes are this machine, by several names."""

import json
import os
import socket
import threading
import time
from collections import namedtuple

import psutil
import pytest

from worker.machine import networks as networks_module
from worker.machine.networks import INTERFACES, NoMeeting, choose, interface_of, own_addresses
from worker.ranks import meeting as module
from worker.ranks.meeting import meet

Address = namedtuple("Address", "family address")
State = namedtuple("State", "isup")
IPV4 = socket.AF_INET


@pytest.fixture(autouse=True)
def unchosen(monkeypatch):
    for name in INTERFACES:
        monkeypatch.setenv(name, "none")  # so that it is put back
        monkeypatch.delenv(name)


@pytest.fixture
def networks(monkeypatch):
    """Has this machine have these networks, the last of which is down."""
    found = {
        "lo": [Address(IPV4, "127.0.0.1")],
        "docker0": [Address(IPV4, "172.17.0.1")],
        "br-5f3a": [Address(IPV4, "172.18.0.1")],
        "eno1": [Address(socket.AF_INET6, "fe80::1"), Address(IPV4, "10.0.0.4")],
        "ib0": [Address(IPV4, "10.1.0.4")],
        "eno2": [Address(IPV4, "10.2.0.4")],
    }
    up = {name: State(name != "eno2") for name in found}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: up)
    monkeypatch.setattr(networks_module, "_by_name", lambda: ["10.1.0.4"])
    return found


def met(place, ranks, nodes, interface=None, patience=20.0):
    """The stores of all ranks, by rank; or what a rank has failed of."""
    found = {}

    def one(rank):
        try:
            node = rank * nodes // ranks
            found[rank] = meet(
                place, rank=rank, node=node, nodes=nodes, interface=interface, patience=patience
            )
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in reversed(range(ranks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_three_ranks_on_three_nodes_meet_in_one_store(tmp_path):
    found = met(tmp_path / "meeting", ranks=3, nodes=3)
    assert not [error for error in found.values() if isinstance(error, Exception)]
    found[2].set("word", "of the third")
    assert found[0].get("word") == found[1].get("word") == b"of the third"


def test_ranks_on_one_node_stay_within_it(tmp_path):
    found = met(tmp_path / "meeting", ranks=2, nodes=1)
    assert json.loads((tmp_path / "meeting").read_text())["addresses"] == ["127.0.0.1"]
    assert found[1].get("token") == found[0].get("token")
    assert os.environ["GLOO_SOCKET_IFNAME"] == os.environ["NCCL_SOCKET_IFNAME"] == "lo"


def test_addresses_that_stay_within_a_machine_are_not_offered(networks):
    assert own_addresses(None) == ["10.1.0.4", "10.0.0.4"], "first what its name leads to"


def test_a_network_that_is_named_is_the_only_one_offered(networks):
    assert own_addresses("eno1") == ["10.0.0.4"]
    assert interface_of("10.1.0.4") == "ib0"


def test_a_network_that_is_not_there_is_a_sentence_with_those_that_are(networks, tmp_path):
    with pytest.raises(NoMeeting) as caught:
        meet(tmp_path / "m", rank=0, node=0, nodes=2, interface="ib1", patience=5)
    host = socket.gethostname()
    known = "br-5f3a, docker0, eno1, ib0, lo"
    assert str(caught.value) == f"launcher.interface: {host} has no ib1; found are {known}"


def test_a_way_that_nobody_answers_is_a_sentence_that_names_the_key(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said = {"host": "far", "addresses": ["127.0.0.1"], "port": port, "token": "x"}
    (tmp_path / "m").write_text(json.dumps(said))
    with pytest.raises(NoMeeting, match=r"rank 0 on far listens at port .* launcher\.interface"):
        meet(tmp_path / "m", rank=1, node=1, nodes=2, interface=None, patience=5)


def test_a_store_of_others_at_the_same_port_is_not_taken_for_ours(tmp_path):
    module._offered(tmp_path / "theirs", 1, None, 20.0)
    said = json.loads((tmp_path / "theirs").read_text())
    (tmp_path / "ours").write_text(json.dumps(said | {"token": "ours"}))
    with pytest.raises(NoMeeting):
        meet(tmp_path / "ours", rank=1, node=0, nodes=1, interface=None, patience=5)


def test_a_first_rank_that_never_comes_is_waited_for_and_no_longer(tmp_path):
    began = time.monotonic()
    with pytest.raises(NoMeeting, match=r"did not say where to meet within 0\.3 s"):
        meet(tmp_path / "m", rank=1, node=1, nodes=2, interface=None, patience=0.3)
    assert time.monotonic() - began < 5


def test_a_place_that_is_half_seen_is_read_again(tmp_path):
    (tmp_path / "m").write_text('{"host": "n1", "addr')
    threading.Timer(0.3, lambda: (tmp_path / "m").write_text('{"host": "n1"}')).start()
    assert module._read(tmp_path / "m", 10.0) == {"host": "n1"}


def test_what_users_have_chosen_stays(monkeypatch):
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib9")
    choose("eno1")
    assert os.environ["NCCL_SOCKET_IFNAME"] == "ib9"
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eno1"
