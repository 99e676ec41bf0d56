"""What a Python subclass overrides is called where asyncio's own class calls it: the same names in the same order."""

import asyncio
import inspect
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import riata

Scenario = Callable[[Any], Awaitable[None]]

# Helpers that the native classes do without: how a class binds itself to a loop and picks who is woken up next, and
# what `TaskGroup.__aexit__` is wrapped around on some versions.
NOT_CALLED = {"_aexit", "_get_loop", "_wake_up_first", "_wake_up_next", "_notify", "_wakeup_waiter"}


def recording(base: Any, names: set[str], log: list[str]) -> Any:
    """A subclass of `base` that overrides all methods of those names, to note that they are called."""

    def override(name: str) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **options: Any) -> Any:
            log.append(name)
            return getattr(super(made, self), name)(*args, **options)

        return method

    made: Any = type("Recording", (base,), {name: override(name) for name in names})
    return made


def overridable(original: type) -> set[str]:
    """The methods of a class of asyncio's that programs may override, but for those that every object has."""
    kept = {"__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__"}
    return {
        name
        for name in dir(original)
        if (not name.startswith("__") or name in kept)
        and name not in NOT_CALLED
        and inspect.isroutine(static := inspect.getattr_static(original, name))
        and type(static).__name__ not in ("staticmethod", "classmethod")
    }


async def begun(awaitable: Awaitable[Any]) -> Any:
    """A future for it, one turn later."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    return task


async def queue(cls: Any) -> None:
    made = cls(2)
    await made.put((1,))
    made.put_nowait((2,))
    putter = await begun(made.put((3,)))
    await made.get()
    made.task_done()
    await putter
    await made.get()
    await made.get()
    made.task_done()
    joined = await begun(made.join())
    made.task_done()
    await joined
    getter = await begun(made.get())
    made.put_nowait((1,))
    await getter
    getter = await begun(made.get())
    getter.cancel()
    await asyncio.wait([getter])


async def lock(cls: Any) -> None:
    made = cls()
    async with made:
        waiting = await begun(made.acquire())
    await waiting
    made.release()


async def event(cls: Any) -> None:
    made = cls()
    waiting = await begun(made.wait())
    made.set()
    await waiting
    made.clear()
    assert not made.is_set()


async def condition(cls: Any) -> None:
    made = cls()
    ready = False

    async def until() -> None:
        async with made:
            await made.wait_for(lambda: ready)

    async def once() -> None:
        async with made:
            await made.wait()

    waiting = [await begun(until()), await begun(once())]
    ready = True
    async with made:
        made.notify_all()
    for each in waiting:
        await each


async def semaphore(cls: Any) -> None:
    made = cls(1)
    async with made:
        waiting = await begun(made.acquire())
    await waiting
    made.release()


async def barrier(cls: Any) -> None:
    made = cls(2)

    async def pass_it() -> None:
        async with made:
            pass

    waiting = await begun(pass_it())
    await pass_it()
    await waiting
    waiting = await begun(made.wait())
    await made.abort()
    with pytest.raises(asyncio.BrokenBarrierError):
        await waiting
    await made.reset()


async def task_group(cls: Any) -> None:
    async def fail() -> None:
        raise LookupError

    async with cls() as made:
        made.create_task(asyncio.sleep(0))
        made.create_task(asyncio.sleep(0))

    async def lose_a_task() -> None:
        async with cls() as made:
            made.create_task(asyncio.sleep(0))
            made.create_task(fail())

    async def fail_inside() -> None:
        async with cls() as made:
            made.create_task(asyncio.sleep(0))
            raise LookupError

    for losing in (lose_a_task, fail_inside):
        with pytest.raises(BaseExceptionGroup):
            await losing()


async def reader(cls: Any) -> None:
    class Paused:
        def pause_reading(self) -> None: ...
        def resume_reading(self) -> None: ...

    made = cls(4, asyncio.get_running_loop())
    made.set_transport(Paused())
    made.feed_data(b"0123456789")
    assert await made.readexactly(8) == b"01234567"
    line = await begun(made.readline())
    made.feed_data(b"\n")
    assert await line == b"89\n"
    part = await begun(made.readuntil(b";"))
    made.feed_data(b"a;xy\nzz")
    assert await part == b"a;"
    lines = []
    async for one in made:
        lines.append(one)
        if len(lines) == 1:
            made.feed_eof()
    assert lines == [b"xy\n", b"zz"]
    assert await made.read() == b""
    assert made.at_eof()
    assert made.exception() is None


async def connection(make_protocol: Callable[[Any], Any], make_writer: Callable[..., Any]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader = asyncio.StreamReader(loop=loop)
        protocol = make_protocol(reader)
        transport, _ = await loop.create_connection(lambda: protocol, *server.sockets[0].getsockname())
        writer = make_writer(transport, protocol, reader)
        writer.write(b"x")
        writer.writelines([b"a", b"b"])
        await writer.drain()
        assert writer.can_write_eof()
        assert not writer.is_closing()
        assert writer.get_extra_info("peername")
        assert await reader.readline() == b"hello\n"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def protocol(cls: Any) -> None:
    loop = asyncio.get_running_loop()
    await connection(
        lambda reader: cls(reader, loop=loop),
        lambda transport, protocol, reader: asyncio.StreamWriter(transport, protocol, reader, loop),
    )


async def writer(cls: Any) -> None:
    loop = asyncio.get_running_loop()
    await connection(
        lambda reader: asyncio.StreamReaderProtocol(reader, loop=loop),
        lambda transport, protocol, reader: cls(transport, protocol, reader, loop),
    )


async def future(cls: Any) -> None:
    loop = asyncio.get_running_loop()

    async def wait_for(awaited: Any) -> Any:
        return await awaited

    made = cls(loop=loop)
    waiting = await begun(wait_for(made))
    made.set_result("result")
    assert await waiting == "result"
    assert await made == "result"
    made = cls(loop=loop)
    waiting = await begun(wait_for(made))
    made.set_exception(LookupError())
    with pytest.raises(LookupError):
        await waiting
    made = cls(loop=loop)
    waiting = await begun(wait_for(made))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert made.cancelled()
    made = cls(loop=loop)
    gathered = asyncio.gather(made)
    gathered.cancel()
    await asyncio.wait([gathered])
    made = cls(loop=loop)
    shielded = asyncio.shield(made)
    made.set_result("result")
    assert await shielded == "result"
    made = cls(loop=loop)
    loop.call_soon(made.set_result, None)
    await asyncio.wait([made])


SCENARIOS: dict[str, Scenario] = {
    "Future": future,
    "Queue": queue,
    "PriorityQueue": queue,
    "LifoQueue": queue,
    "Lock": lock,
    "Event": event,
    "Condition": condition,
    "Semaphore": semaphore,
    "BoundedSemaphore": semaphore,
    "Barrier": barrier,
    "TaskGroup": task_group,
    "StreamReader": reader,
    "StreamReaderProtocol": protocol,
    "StreamWriter": writer,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_subclass_overrides_is_called(name: str) -> None:
    original = getattr(asyncio, name)
    names = overridable(original)
    assert len(names) > 1
    expected: list[str] = []
    asyncio.run(SCENARIOS[name](recording(original, names, expected)))  # type: ignore[arg-type]
    assert expected
    seen: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        riata.install()
    try:
        riata.run(SCENARIOS[name](recording(getattr(riata, name), names, seen)))  # type: ignore[arg-type]
    finally:
        riata.uninstall()
    assert seen == expected


def test_a_reader_whose_lines_may_have_any_length(run: Callable[[Any], Any]) -> None:
    """As aioconsole's, whose `readuntil` reads on where asyncio's raises."""
    for base in (asyncio.StreamReader, riata.StreamReader):

        class Unlimited(base):  # type: ignore[misc, valid-type]
            async def readuntil(self, separator: bytes = b"\n") -> Any:
                while True:
                    try:
                        return await super().readuntil(separator)
                    except asyncio.LimitOverrunError as error:
                        if self._buffer.startswith(separator, error.consumed):
                            end = error.consumed + len(separator)
                            chunk = bytes(self._buffer[:end])
                            del self._buffer[:end]
                            self._maybe_resume_transport()
                            return chunk
                        await self._wait_for_data("readuntil")

        async def main(made: Any = Unlimited) -> None:
            reader = made(limit=4)
            line = await begun(reader.readline())
            for _ in range(10):
                reader.feed_data(b"12345678")
                await asyncio.sleep(0)
            reader.feed_data(b"\nrest")
            assert await line == b"12345678" * 10 + b"\n"
            reader.feed_eof()
            assert await reader.readline() == b"rest"

        run(main())


@pytest.mark.parametrize("base", [asyncio.TaskGroup, riata.TaskGroup])
def test_a_group_that_outlives_a_failure(base: Any, run: Callable[[Any], Any]) -> None:
    """A subclass that reports what fails, and lets the others go on."""

    class Lasting(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.failed: list[BaseException | None] = []

        def _on_task_done(self, task: Any) -> None:
            if not task.cancelled() and task.exception() is not None:
                self.failed.append(task.exception())
                self._tasks.discard(task)
                if self._on_completed_fut is not None and not self._tasks:
                    self._on_completed_fut.set_result(True)
            else:
                super()._on_task_done(task)

    async def fail() -> None:
        raise LookupError

    async def main() -> None:
        async with Lasting() as group:
            group.create_task(fail())
            other = group.create_task(asyncio.sleep(0, "done"))
        assert other.result() == "done"
        assert [type(error) for error in group.failed] == [LookupError]

        async with Lasting() as group:
            forever = group.create_task(asyncio.sleep(1000))
            await asyncio.sleep(0)
            group._abort()
        assert forever.cancelled()

    run(main())


@pytest.mark.parametrize("base", [asyncio.TaskGroup, riata.TaskGroup])
def test_the_attributes_of_a_group_can_be_set(base: Any, run: Callable[[Any], Any]) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with base() as group:
                group._errors.append(LookupError("from outside"))
        assert [str(error) for error in caught.value.exceptions] == ["from outside"]

        group = base()
        for name in ("_entered", "_exiting", "_aborting", "_parent_cancel_requested"):
            assert getattr(group, name) is False
            setattr(group, name, True)
            assert getattr(group, name) is True
        for name in ("_loop", "_parent_task", "_base_error", "_on_completed_fut"):
            assert getattr(group, name) is None
            setattr(group, name, "given")
            assert getattr(group, name) == "given"
        assert group._tasks == set()
        assert group._is_base_error(SystemExit())
        assert not group._is_base_error(LookupError())

    run(main())


@pytest.mark.parametrize("base", [asyncio.StreamReader, riata.StreamReader])
def test_a_method_that_is_put_into_a_class_later(base: Any, run: Callable[[Any], Any]) -> None:
    """What a class overrides is noted once for a version of it, and not longer."""

    class Own(base):  # type: ignore[misc]
        pass

    class Derived(Own):
        pass

    async def feed(cls: Any) -> bytes:
        reader = cls()
        reader.feed_data(b"one\ntwo\n")
        found: bytes = await reader.readline()
        return found

    async def readuntil(self: Any, separator: bytes = b"\n") -> bytes:
        found: bytes = await base.readuntil(self, separator)
        return b"own " + found

    async def main() -> None:
        for _ in range(3):
            assert await feed(Derived) == b"one\n"
        Own.readuntil = readuntil  # type: ignore[attr-defined]
        for _ in range(3):
            assert await feed(Derived) == b"own one\n"
            assert await feed(Own) == b"own one\n"
            assert await feed(base) == b"one\n"
        del Own.readuntil  # type: ignore[attr-defined]
        for _ in range(3):
            assert await feed(Derived) == b"one\n"
        Derived.__bases__ = (type("Between", (Own,), {"readuntil": readuntil}),)
        for _ in range(3):
            assert await feed(Derived) == b"own one\n"

    run(main())


@pytest.mark.parametrize("module", [asyncio, riata])
@pytest.mark.parametrize("name", ["Lock", "Semaphore", "BoundedSemaphore"])
def test_an_acquire_that_is_put_into_a_class_later(name: str, module: Any, run: Callable[[Any], Any]) -> None:
    base = getattr(module, name)
    Own: Any = type("Own", (base,), {})

    async def acquire(self: Any) -> bool:
        calls.append(name)
        done: bool = await base.acquire(self)
        return done

    calls: list[str] = []

    async def use() -> int:
        calls.clear()
        for _ in range(3):
            async with Own():
                pass
        return len(calls)

    async def main() -> None:
        assert await use() == 0
        Own.acquire = acquire
        assert await use() == 3
        del Own.acquire
        assert await use() == 0

    run(main())


@pytest.mark.parametrize("module", [asyncio, riata])
def test_a_put_that_is_put_into_a_queue_later(module: Any) -> None:
    class Own(module.Queue):  # type: ignore[misc,name-defined]
        pass

    def sizes() -> list[int]:
        made = [Own(), Own()]
        for queue in made:
            queue.put_nowait(1)
        return [queue.qsize() for queue in made]

    assert sizes() == [1, 1]
    Own._put = lambda self, item: self._queue.extend([item, item])  # type: ignore[attr-defined]
    assert sizes() == [2, 2]
    del Own._put  # type: ignore[attr-defined]
    assert sizes() == [1, 1]
