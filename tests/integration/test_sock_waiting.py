"""Calls on sockets that have to wait: who waits, who takes over, what is cancelled, what is kept."""

import asyncio
import gc
import socket
import weakref

import pytest
from tests.integration.sockets import LoopFactory, Pair, Run, settled


def test_cancelling_stops_watching_and_takes_nothing(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        task = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(task)
        task.cancel()
        theirs.send(b"kept")
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert loop.remove_reader(ours) is False
        assert await loop.sock_recv(ours, 10) == b"kept"
        while True:
            try:
                ours.send(bytes(100_000))
            except BlockingIOError:
                break
        sending = asyncio.create_task(loop.sock_sendall(ours, b"never sent"))
        await settled(sending)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        assert loop.remove_writer(ours) is False

    run(main())


def test_both_directions_wait_at_once(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        receiving = asyncio.create_task(loop.sock_recv(ours, 10))
        sending = asyncio.create_task(loop.sock_sendall(ours, bytes(1_000_000)))
        await settled(receiving)
        await settled(sending)
        theirs.send(b"x")
        assert await receiving == b"x"
        left = 1_000_000
        while left:
            left -= len(await loop.sock_recv(theirs, 100_000))
        await sending

    run(main())


def test_who_comes_later_takes_the_place_of_who_waits(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        first = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(first)
        second = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(second)
        first.cancel()
        await asyncio.wait([first])
        await settled(second)
        theirs.send(b"x")
        assert await second == b"x"

        third = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(third)
        readable = asyncio.Event()
        loop.add_reader(ours, readable.set)
        theirs.send(b"y")
        await readable.wait()
        assert not third.done()
        assert loop.remove_reader(ours) is True
        third.cancel()
        await asyncio.wait([third])

        fourth = asyncio.create_task(loop.sock_recv(theirs, 10))
        await settled(fourth)
        assert loop.remove_reader(theirs) is True
        assert loop.remove_reader(theirs) is False
        ours.send(b"z")
        await settled(fourth)
        fourth.cancel()
        await asyncio.wait([fourth])

    run(main())


def test_a_reader_takes_over_from_a_call_that_has_just_ended(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        task = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(task)
        theirs.send(b"x")
        assert await task == b"x"
        told = asyncio.Event()
        loop.add_reader(ours, told.set)
        theirs.send(b"y")
        await told.wait()
        assert loop.remove_reader(ours) is True
        assert await loop.sock_recv(ours, 10) == b"y"

    run(main())


def test_a_number_that_comes_back_in_the_same_turn_is_watched_anew(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            number = ours.fileno()
            loop.call_soon(theirs.send, b"x")
            assert await loop.sock_recv(ours, 10) == b"x"  # has waited
            ours.close()
            theirs.close()
            ours, theirs = socket.socketpair()
            if theirs.fileno() == number:
                ours, theirs = theirs, ours
            assert ours.fileno() == number
            ours.setblocking(False)
            task = asyncio.create_task(loop.sock_recv(ours, 10))
            await settled(task)
            theirs.send(b"y")
            assert await task == b"y"
            ours.close()
            theirs.close()

    run(main())


def test_a_socket_that_was_waited_for_is_not_kept(loop_factory: LoopFactory) -> None:
    loop = loop_factory()

    async def main() -> weakref.ref[socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            loop.call_soon(theirs.send, b"x")
            assert await loop.sock_recv(ours, 10) == b"x"
        ours.close()
        return weakref.ref(ours)

    gone = loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0.001))
    gc.collect()
    assert gone() is None
    loop.close()


def test_a_descriptor_of_a_transport_is_refused_once_it_has_to_wait(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(pair[0], 10)
        transport.close()

    run(main())


def test_a_closed_loop_cannot_wait(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    loop.close()
    pair[1].send(b"x")
    with pytest.raises(StopIteration) as received:
        loop.sock_recv(pair[0], 1).send(None)
    assert received.value.value == b"x"
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.sock_recv(pair[0], 1).send(None)


def test_a_loop_that_is_closed_forgets_who_waits(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    task = loop.create_task(loop.sock_recv(pair[0], 1))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()


def test_calls_and_timeouts(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(loop.sock_recv(pair[0], 1), 0.001)
        pair[1].send(b"x")
        assert await asyncio.wait_for(loop.sock_recv(pair[0], 1), 10) == b"x"

    run(main())


def test_many_echoes(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def serve(sock: socket.socket) -> None:
            with sock:
                while data := await loop.sock_recv(sock, 1000):
                    await loop.sock_sendall(sock, data)

        async def ask(sock: socket.socket, name: bytes) -> None:
            with sock:
                for number in range(50):
                    await loop.sock_sendall(sock, name + b" %d" % number)
                    assert await loop.sock_recv(sock, 1000) == name + b" %d" % number

        tasks = []
        for index in range(50):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.setblocking(False)
            tasks += [asyncio.create_task(serve(ours)), asyncio.create_task(ask(theirs, b"%d" % index))]
        await asyncio.gather(*tasks)

    run(main())
