"""A socket that was closed while it was watched was "Invalid file descriptor: -1" to remove_reader and remove_writer;
asyncio knows it by what it is. anyio takes its callbacks away after closing."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_it_is_found_by_what_it_is(loop_factory: LoopFactory, side: str) -> None:
    loop = loop_factory()
    one, other = socket.socketpair()
    add, remove = getattr(loop, f"add_{side}"), getattr(loop, f"remove_{side}")
    with one, other:
        one.setblocking(False)
        add(one, print)
        one.close()
        assert remove(one) is True
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            remove(one)
    loop.close()


def test_a_socket_watched_on_its_other_side_is_known(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    one, other = socket.socketpair()
    with one, other:
        loop.add_reader(one, print)
        one.close()
        assert loop.remove_writer(one) is False
        assert loop.remove_reader(one) is True
    loop.close()


def test_it_is_not_confused_with_who_has_its_number_now(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    told: list[str] = []

    def stop_when_told(name: str) -> None:
        told.append(name)
        loop.stop()

    one, other = socket.socketpair()
    loop.add_reader(one, stop_when_told, "one")
    loop.add_reader(other, stop_when_told, "other")
    one.close()
    assert loop.remove_reader(one) is True
    loop.run_forever()  # its peer is gone
    assert told == ["other"]
    loop.remove_reader(other)
    other.close()
    loop.close()


def test_what_is_watched_is_kept_and_what_is_removed_is_not(loop_factory: LoopFactory) -> None:
    class Kept(socket.socket):
        pass

    loop = loop_factory()
    kept: Any = Kept()
    seen = weakref.ref(kept)
    number = kept.fileno()
    loop.add_reader(kept, print)
    del kept
    gc.collect()
    assert seen() is not None
    seen().close()
    assert loop.remove_reader(seen()) is True
    gc.collect()
    assert seen() is None
    assert number >= 0
    loop.close()
