"""Whether a host answers: found out within seconds, whatever the network does."""

from __future__ import annotations

import socket
import time

import pytest

from bnexp.data import network


@pytest.fixture
def server():
    """A port of this machine that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def closed():
    """A port of this machine where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setattr(network.urllib.request, "getproxies", dict)


def test_one_answering_host_is_enough(server, closed):
    assert network.any_answers([closed, server], 5)
    assert not network.any_answers([closed], 5)


def test_a_look_up_that_hangs_does_not_hang_us(monkeypatch):
    monkeypatch.setattr(network, "_connects", lambda *_: time.sleep(3))
    begin = time.monotonic()
    assert not network.any_answers(["http://silent"], 0.2)
    assert time.monotonic() - begin < 1


def test_a_proxy_is_what_must_answer(monkeypatch, server, closed):
    monkeypatch.setattr(network.urllib.request, "getproxies", lambda: {"http": server})
    assert network.any_answers([closed.replace("127.0.0.1", "data.example")], 5)


def test_the_default_port_is_that_of_the_scheme():
    assert network._first_hop("https://a.example/x") == ("a.example", 443)
    assert network._first_hop("http://a.example/x") == ("a.example", 80)


def test_the_socket_time_limit_is_put_back():
    before = socket.getdefaulttimeout()
    with network.socket_timeout(7.0):
        assert socket.getdefaulttimeout() == 7.0
    assert socket.getdefaulttimeout() == before
