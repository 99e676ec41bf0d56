"""What dies, when, and what is reported of it."""

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import riata

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What dies in these tests dies by reference counts."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.usefixtures("without_collector")
def test_what_dies_without_the_collector(loop_factory: LoopFactory) -> None:
    loop = loop_factory()

    async def work(future: Any) -> Any:
        await asyncio.sleep(0)
        return await future

    future = loop.create_future()
    task = loop.create_task(work(future))
    turn(loop)
    turn(loop)
    future.set_result("result")
    assert loop.run_until_complete(task) == "result"
    turn(loop)
    references = [weakref.ref(task), weakref.ref(future)]
    del task, future
    handle, timer = loop.call_soon(int), loop.call_later(0, int)
    references += [weakref.ref(handle), weakref.ref(timer)]
    del handle
    timer.cancel()
    del timer
    turn(loop)
    turn(loop)
    assert [reference() for reference in references] == [None] * 4
    loop.close()


@pytest.mark.usefixtures("without_collector")
def test_a_failed_task_dies_without_the_collector(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.set_exception_handler(lambda *_: None)

    async def fail() -> None:
        raise ValueError

    task = loop.create_task(fail())
    turn(loop)
    reference = weakref.ref(task)
    del task
    assert reference() is None
    loop.close()


@pytest.mark.parametrize("new_event_loop", [asyncio.SelectorEventLoop, riata.new_event_loop])
def test_the_collector_frees_circles(new_event_loop: LoopFactory) -> None:  # the fixture would hold the loop
    class Local:
        pass

    def make() -> list[weakref.ref[Any]]:
        loop = new_event_loop()
        local = Local()
        future = loop.create_future()

        async def wait(local: Any) -> None:
            await future

        task = loop.create_task(wait(local))
        local.task = task  # type: ignore[attr-defined]
        future.add_done_callback(lambda _: local)
        turn(loop)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        done = loop.create_future()
        done.set_result(done)
        failed = loop.create_future()
        error = ValueError()
        error.future = failed  # type: ignore[attr-defined]
        failed.set_exception(error)
        failed.exception()
        named = loop.create_future()
        named.cancel(msg=named)
        loop.extra = (loop, done, failed, named)  # type: ignore[attr-defined]
        loop.call_later(1000, lambda: loop)
        loop.set_task_factory(lambda loop, coro, **_: task)
        loop.close()
        return [weakref.ref(one) for one in (local, future, task, done, failed, named, loop)]

    references = make()
    gc.collect()
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


def test_an_open_loop_in_a_circle_is_collected() -> None:
    # asyncio's warns (ResourceWarning) and its selector keeps the descriptors until then; so does ours.
    def make() -> weakref.ref[Any]:
        loop = riata.new_event_loop()
        loop.call_soon(lambda: loop)
        loop.itself = loop  # type: ignore[attr-defined]
        return weakref.ref(loop)

    reference = make()
    with pytest.warns(ResourceWarning, match="unclosed event loop") as caught:
        gc.collect()
    caught.clear()  # a warning holds its source, and from Python 3.15 on weak references live as long
    gc.collect()
    assert reference() is None


def test_the_collector_sees_what_is_held() -> None:
    loop = riata.new_event_loop()
    future = loop.create_future()
    callback = lambda _: None  # noqa: E731
    context = contextvars.copy_context()
    future.add_done_callback(callback, context=context)
    held = gc.get_referents(future)
    assert all(any(one is other for other in held) for one in (loop, callback, context))

    async def wait() -> None:
        await future

    coroutine = wait()
    task = loop.create_task(coroutine, context=context)
    turn(loop)
    held = gc.get_referents(task)
    assert all(any(one is other for other in held) for one in (loop, coroutine, context, future))
    result = object()
    future.set_result(result)
    assert result in gc.get_referents(future)
    assert any(one is task for one in gc.get_referents(loop)), "the ready queue holds the task"
    loop.run_until_complete(task)
    handle = loop.call_soon(callback, result)
    held = gc.get_referents(handle)
    assert any(one is callback for one in held)
    assert any(one is handle for one in gc.get_referents(loop))
    handle.cancel()
    timer = loop.call_later(1000, callback)
    assert any(one is timer for one in gc.get_referents(loop))
    timer.cancel()
    assert not any(one is timer for one in gc.get_referents(loop))
    loop.close()


def test_reference_counts_come_back(run: Callable[..., Any]) -> None:
    marker = object()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def give(value: Any) -> Any:
            await asyncio.sleep(0)
            return value

        async def fail(value: Any) -> None:
            raise LookupError(value)

        for _ in range(3):
            before = sys.getrefcount(marker)
            for _ in range(100):
                assert await asyncio.create_task(give(marker)) is marker
                with pytest.raises(LookupError):
                    await asyncio.create_task(fail(marker))
                future = loop.create_future()
                loop.call_soon(future.set_result, marker)
                assert await future is marker
                loop.call_later(1000, print, marker).cancel()
                cancelled = asyncio.create_task(give(marker))
                await asyncio.sleep(0)
                cancelled.cancel(marker)
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            del future, cancelled
            await asyncio.sleep(0)
            gc.collect()
            assert sys.getrefcount(marker) - before <= 2

    run(main())


def test_contexts_do_not_pile_up(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async def nothing() -> None:
            await asyncio.sleep(0)

        def contexts() -> int:
            gc.collect()
            return sum(type(one) is contextvars.Context for one in gc.get_objects())

        await asyncio.gather(*(nothing() for _ in range(100)))
        before = contexts()
        for _ in range(5):
            await asyncio.gather(*(nothing() for _ in range(100)))
            asyncio.get_running_loop().call_later(1000, print).cancel()
        await asyncio.sleep(0)
        assert contexts() <= before + 2

    run(main())


class Reports(list[dict[str, Any]]):
    """What a loop's exception handler was told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(lambda _, report: self.append(report))

    @property
    def messages(self) -> list[str]:
        return [report["message"] for report in self]


def classes(loop: asyncio.AbstractEventLoop) -> tuple[type[asyncio.Future[Any]], type[asyncio.Task[Any]]]:
    native = isinstance(loop, riata.Loop)
    future: Any = riata.Future if native else asyncio.Future
    task: Any = riata.Task if native else asyncio.Task
    return future, task


@pytest.mark.parametrize("subclass", [False, True])
def test_exceptions_that_nobody_looked_at(loop_factory: LoopFactory, subclass: bool) -> None:
    loop = loop_factory()
    reports = Reports(loop)
    future_class, task_class = classes(loop)
    if subclass:
        future_class, task_class = type("F", (future_class,), {}), type("T", (task_class,), {})

    async def fail() -> None:
        raise ValueError("nobody looks")

    future = future_class(loop=loop)
    error = LookupError()
    future.set_exception(error)
    del future
    assert reports.messages == [
        "F exception was never retrieved" if subclass else "Future exception was never retrieved"
    ]
    assert reports[0]["exception"] is error
    assert reports[0]["future"].exception() is error
    task: Any = task_class(fail(), loop=loop)
    turn(loop)
    del task
    assert reports.messages[1:] == [f"{'T' if subclass else 'Task'} exception was never retrieved"]
    reports.clear()
    for look in ("result", "exception", "await"):
        looked_at = future_class(loop=loop)
        looked_at.set_exception(ValueError())
        if look == "await":
            with pytest.raises(ValueError):  # noqa: PT011
                loop.run_until_complete(looked_at)
        elif look == "exception":
            looked_at.exception()
        else:
            with pytest.raises(ValueError):  # noqa: PT011
                looked_at.result()
        del looked_at
    gc.collect()
    assert reports.messages == []
    loop.close()


@pytest.mark.parametrize("subclass", [False, True])
def test_tasks_that_die_pending(loop_factory: LoopFactory, subclass: bool) -> None:
    loop = loop_factory()
    reports = Reports(loop)
    _, task_class = classes(loop)
    if subclass:
        task_class = type("T", (task_class,), {})
    future: Any = loop.create_future()

    async def wait() -> None:
        await future

    task: Any = task_class(wait(), loop=loop)
    turn(loop)
    reference = weakref.ref(task)
    future = task = None
    gc.collect()
    assert reports.messages == ["Task was destroyed but it is pending!"]
    reports.clear()
    gc.collect()
    assert reference() is None
    assert not asyncio.all_tasks(loop)
    loop.close()


def test_a_finalizer_may_bring_its_task_back(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    _, task_class = classes(loop)
    kept: list[Any] = []

    def keep(_: Any, report: dict[str, Any]) -> None:
        kept.append(report["task"])

    loop.set_exception_handler(keep)
    future: Any = loop.create_future()

    async def wait() -> str:
        return await future

    coroutine = wait()
    task: Any = task_class(coroutine, loop=loop)
    turn(loop)
    del task, coroutine
    waker, future = future, None
    wait = None  # type: ignore[assignment]
    del waker
    gc.collect()
    assert len(kept) == 1
    repr(kept[0])
    kept.clear()
    gc.collect()
    loop.close()


def test_all_tasks_while_tasks_die(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.set_exception_handler(lambda *_: asyncio.all_tasks(loop))

    async def wait() -> None:
        await loop.create_future()

    for _ in range(200):
        loop.create_task(wait())
    seen: list[int] = []
    first = next(iter(asyncio.all_tasks(loop)))
    weakref.finalize(first, lambda: seen.append(len(asyncio.all_tasks(loop))))
    del first
    turn(loop)
    gc.collect()
    turn(loop)
    assert seen
    assert not asyncio.all_tasks(loop)
    loop.close()


def test_all_tasks_from_another_thread(loop_factory: LoopFactory) -> None:
    import threading

    loop = loop_factory()
    ended = threading.Event()
    errors: list[BaseException] = []

    def look() -> None:
        try:
            while not ended.is_set():
                for task in asyncio.all_tasks(loop):
                    task.get_name()
        except BaseException as error:
            errors.append(error)

    async def main() -> None:
        for _ in range(200):
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(20)))

    thread = threading.Thread(target=look)
    thread.start()
    loop.run_until_complete(main())
    ended.set()
    thread.join()
    assert not errors
    loop.close()


@pytest.mark.usefixtures("without_collector")
def test_every_forgotten_failure_is_reported(loop_factory: LoopFactory) -> None:
    """Also those of futures that live where others were finalized."""
    loop = loop_factory()
    reported: list[str] = []
    loop.set_exception_handler(lambda loop, context: reported.append(context["message"]))
    for _ in range(3):
        for _ in range(100):
            loop.create_future()
            loop.create_future().set_exception(ValueError())
    assert reported == ["Future exception was never retrieved"] * 300
    loop.close()


class Holder:
    """In a circle with the handle of its own callback."""

    handle: asyncio.Handle
    fails = False

    def hold(self, call_soon: Callable[..., asyncio.Handle]) -> None:
        self.handle = call_soon(self.call)

    def call(self) -> None:
        if self.fails:
            raise ValueError


def test_a_handle_that_has_run_is_seen_by_the_collector(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    holders = {name: Holder() for name in ("ran", "cancelled", "failed", "sent", "sent by a thread", "later")}
    reported: list[asyncio.Handle] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["handle"]))

    def begin() -> None:
        holders["ran"].hold(loop.call_soon)
        holders["cancelled"].hold(loop.call_soon)
        holders["cancelled"].handle.cancel()
        holders["failed"].fails = True
        holders["failed"].hold(loop.call_soon)
        holders["sent"].hold(loop.call_soon_threadsafe)
        thread = threading.Thread(target=holders["sent by a thread"].hold, args=(loop.call_soon_threadsafe,))
        thread.start()
        thread.join()
        loop.call_later(0, holders["later"].hold, loop.call_soon)

    loop.call_soon(begin)
    for _ in range(4):
        turn(loop)
    assert reported == [holders["failed"].handle]
    assert all(gc.is_tracked(holder.handle) for holder in holders.values())
    references = [weakref.ref(holder) for holder in holders.values()]
    reported.clear()
    holders.clear()
    gc.collect()
    assert [reference() for reference in references] == [None] * 6
    loop.close()


def test_what_a_stopped_loop_has_ready_is_seen_by_the_collector(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    handles = []

    def stop() -> None:
        loop.stop()
        handles.append(loop.call_soon(int))
        thread = threading.Thread(target=lambda: handles.append(loop.call_soon_threadsafe(int)))
        thread.start()
        thread.join()

    loop.call_soon(stop)
    loop.run_forever()
    assert [gc.is_tracked(handle) for handle in handles] == [True, True]
    turn(loop)
    loop.close()


def test_what_threads_sent_before_a_loop_stopped_comes_before_what_is_added_later(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[str] = []

    def stop() -> None:
        loop.stop()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(order.append, "sent"))
        thread.start()
        thread.join()

    loop.call_soon(stop)
    loop.run_forever()
    loop.call_soon(order.append, "added")
    turn(loop)
    assert order == ["sent", "added"]
    loop.close()
