"""Whether a download has a chance: an answer within seconds, where a download itself may hang for minutes."""

from __future__ import annotations

import queue
import socket
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit


def any_answers(addresses: Sequence[str], seconds: float) -> bool:
    """Whether a connection to one of the addresses (or to the proxy that stands before it) opens within ``seconds``."""
    answers: queue.Queue[bool] = queue.Queue()
    for address in addresses:
        # a daemon, because a name look-up cannot be given a time limit and must not hold the program's end
        threading.Thread(target=lambda a=address: answers.put(_connects(a, seconds)), daemon=True).start()
    try:
        return any(answers.get(timeout=seconds) for _ in addresses)
    except queue.Empty:
        return False


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """A time limit for connections that a library opens without one of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _connects(address: str, seconds: float) -> bool:
    host, port = _first_hop(address)
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        return False
    return True


def _first_hop(address: str) -> tuple[str, int]:
    """Host and port that a request for ``address`` goes to first, as urllib (and so torchvision) would send it."""
    parts = urlsplit(address)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
