"""`add_reader` and `add_writer`: level-triggered, by number, as the kernel sees descriptors."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def turns(loop: asyncio.AbstractEventLoop, count: int) -> None:
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


Pair = tuple[socket.socket, socket.socket]


def test_a_reader_is_told_again_until_it_has_read(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    told: list[int] = []
    loop.add_reader(pair[0], told.append, 1)
    turns(loop, 3)
    assert not told
    pair[1].send(b"xy")
    turns(loop, 3)
    assert len(told) == 3
    pair[0].recv(1)
    turns(loop, 2)
    assert len(told) == 5
    pair[0].recv(1)
    turns(loop, 2)
    assert len(told) == 5
    assert loop.remove_reader(pair[0]) is True
    assert loop.remove_reader(pair[0]) is False
    loop.close()


def test_a_writer_is_told_every_turn(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    told: list[int] = []
    loop.add_writer(pair[0].fileno(), told.append, 1)
    turns(loop, 4)
    assert len(told) == 4
    assert loop.remove_writer(pair[0]) is True
    turns(loop, 2)
    assert len(told) == 4
    loop.close()


def test_both_directions_of_one_descriptor(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    told: list[str] = []
    loop.add_reader(pair[0], told.append, "read")
    loop.add_writer(pair[0], told.append, "write")
    pair[1].send(b"x")
    turns(loop, 1)
    assert told == ["read", "write"]
    loop.remove_writer(pair[0])
    turns(loop, 1)
    assert told == ["read", "write", "read"]
    loop.remove_reader(pair[0])
    loop.close()


def test_a_new_reader_takes_the_place_of_the_old(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    told: list[str] = []
    pair[1].send(b"x")
    loop.add_reader(pair[0], told.append, "old")
    loop.add_reader(pair[0], told.append, "new")
    turns(loop, 1)
    assert told == ["new"]
    loop.remove_reader(pair[0])
    loop.close()


def test_a_reader_removed_by_one_that_ran_before_it_is_not_called(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    sockets = [socket.socketpair() for _ in range(5)]
    told: list[int] = []

    def first_come(number: int) -> None:
        told.append(number)
        for ours, _ in sockets:
            loop.remove_reader(ours)

    for number, (ours, theirs) in enumerate(sockets):
        theirs.send(b"x")
        loop.add_reader(ours, first_come, number)
    turns(loop, 3)
    assert len(told) == 1
    for ours, theirs in sockets:
        ours.close()
        theirs.close()
    loop.close()


def test_hang_up_is_told_to_readers_and_writers(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    told: set[str] = set()
    read, write = os.pipe()
    loop.add_writer(write, told.add, "writer")
    os.close(read)
    turns(loop, 1)
    loop.remove_writer(write)
    os.close(write)
    read, write = os.pipe()
    loop.add_reader(read, told.add, "reader")
    os.close(write)
    turns(loop, 1)
    assert told == {"writer", "reader"}
    loop.remove_reader(read)
    os.close(read)
    loop.close()


def test_a_regular_file_cannot_be_watched(loop_factory: LoopFactory, tmp_path: Path) -> None:
    loop = loop_factory()
    with (tmp_path / "file").open("w+") as file:
        for watch in (loop.add_reader, loop.add_writer):
            with pytest.raises(PermissionError):
                watch(file, print)
        assert loop.remove_reader(file) is False
        assert loop.remove_writer(file) is False
    loop.close()


def test_a_closed_descriptor_cannot_be_watched(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        loop.add_reader(read, print)
    assert caught.value.errno == 9
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_writer(write, print)
    assert loop.remove_reader(read) is False
    loop.close()


@pytest.mark.parametrize("bad", [-1, "1", None, 1.5, object()])
def test_what_is_no_descriptor(loop_factory: LoopFactory, bad: Any) -> None:
    loop = loop_factory()
    for method in (loop.add_reader, loop.add_writer):
        with pytest.raises(ValueError, match="Invalid file"):
            method(bad, print)
    for method in (loop.remove_reader, loop.remove_writer):
        with pytest.raises(ValueError, match="Invalid file"):
            method(bad)
    loop.close()


def test_a_socket_closed_while_watched_is_forgotten_by_the_kernel(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    told: list[int] = []
    number = pair[0].fileno()
    loop.add_reader(number, told.append, 1)
    pair[1].send(b"x")
    pair[0].close()
    turns(loop, 3)
    assert not told
    assert loop.remove_reader(number) is True
    loop.close()


def test_a_number_that_was_closed_and_names_another_socket_now(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    told: list[str] = []
    first, first_peer = socket.socketpair()
    number = first.fileno()
    loop.add_reader(number, told.append, "first")
    first.close()
    first_peer.close()
    loop.remove_reader(number)
    second, second_peer = socket.socketpair()
    assert number in (second.fileno(), second_peer.fileno())
    if second_peer.fileno() == number:
        second, second_peer = second_peer, second
    loop.add_reader(second, told.append, "second")
    second_peer.send(b"x")
    turns(loop, 2)
    assert told == ["second", "second"]
    loop.remove_reader(second)
    second.close()
    second_peer.close()
    loop.close()


def test_a_reused_number_whose_old_watcher_was_not_removed() -> None:
    # asyncio raises FileNotFoundError here: its selector modifies a registration that the kernel has dropped.
    import riata

    loop = riata.new_event_loop()
    told: list[str] = []
    first, first_peer = socket.socketpair()
    number = first.fileno()
    loop.add_reader(number, told.append, "first")
    first.close()
    first_peer.close()
    second, second_peer = socket.socketpair()
    if second_peer.fileno() == number:
        second, second_peer = second_peer, second
    assert second.fileno() == number
    second_peer.send(b"x")
    turns(loop, 1)
    assert not told, "an event of the new socket went to the watcher of the old one"
    loop.add_reader(second, told.append, "second")
    turns(loop, 1)
    assert told == ["second"]
    loop.remove_reader(second)
    second.close()
    second_peer.close()
    loop.close()


def test_a_copy_of_a_closed_socket_does_not_spin(pair: Pair) -> None:
    # The kernel goes on reporting while a copy is open; nobody can remove that registration by number any more.
    import riata

    loop = riata.new_event_loop()
    told: list[int] = []
    copy = pair[0].dup()
    loop.add_reader(pair[0], told.append, 1)
    number = pair[0].fileno()
    pair[0].close()
    loop.remove_reader(number)
    pair[1].send(b"x")
    turns(loop, 3)
    assert not told
    before = loop.stats()["polls"]
    loop.run_until_complete(asyncio.sleep(0.01))
    assert loop.stats()["polls"] - before <= 3
    copy.close()
    loop.close()


def test_contexts_of_watchers(loop_factory: LoopFactory, pair: Pair) -> None:
    import contextvars

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    loop = loop_factory()
    got: list[int] = []
    variable.set(1)
    loop.add_writer(pair[0], lambda: got.append(variable.get()))
    variable.set(2)
    turns(loop, 1)
    assert got == [1]
    loop.remove_writer(pair[0])
    loop.close()


def test_a_watcher_that_raises_is_reported_and_stays(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, report: reports.append(report["exception"]))
    loop.add_writer(pair[0], lambda: 1 // 0)
    turns(loop, 2)
    assert [type(report) for report in reports] == [ZeroDivisionError] * 2
    loop.remove_writer(pair[0])
    loop.close()


def test_closing_the_loop_lets_go_of_callbacks(loop_factory: LoopFactory, pair: Pair) -> None:
    import gc
    import weakref

    class Callback:
        def __call__(self) -> None: ...

    loop = loop_factory()
    callback = Callback()
    reference = weakref.ref(callback)
    loop.add_reader(pair[0], callback)
    del callback
    loop.close()
    gc.collect()
    assert reference() is None


def test_a_descriptor_in_a_transports_hands(run: Callable[..., Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        number = writer.get_extra_info("socket").fileno()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number, print)
        for remove in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                remove(number)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
