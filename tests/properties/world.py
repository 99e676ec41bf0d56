"""Runs a random program and writes down everything that it observes, in order."""

from __future__ import annotations

import asyncio
import inspect
import types
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from .clocks import Counted, Paced, Ticker
from .programs import Script

Note = tuple[Any, ...]
# From this turn on what still runs is cancelled, every third turn; a program that goes on after the other is a failure.
PATIENCE, END = 30, 300


def told(error: BaseException) -> Any:
    """An exception, comparable."""
    if isinstance(error, BaseExceptionGroup):
        return type(error).__name__, error.message, [told(inner) for inner in error.exceptions]
    return type(error).__name__, error.args


class World:
    """The objects of one program, its tasks, and the notes about it."""

    def __init__(self, module: Any, loop: asyncio.AbstractEventLoop, clock: Counted | Paced) -> None:
        self.module = module
        self.loop = loop
        self.clock = clock
        self.timers = 0
        self.notes: list[Note] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.scripts: list[Coroutine[Any, Any, str]] = []
        self.handles: list[asyncio.Handle] = []
        self.ticker = Ticker(loop, clock, self.turn)
        loop.set_exception_handler(self.reported)
        self.locks = [module.Lock() for _ in range(2)]
        self.semaphores = [module.Semaphore(1), module.Semaphore(2)]
        self.bounded = [module.BoundedSemaphore(1), module.BoundedSemaphore(2)]
        self.events = [module.Event() for _ in range(2)]
        self.conditions = [module.Condition(), module.Condition(self.locks[0])]
        self.queues = [module.Queue(), module.Queue(1), module.PriorityQueue(2), module.LifoQueue()]
        self.barriers = [module.Barrier(2), module.Barrier(3)]
        self.futures = [loop.create_future() for _ in range(2)]
        self.items = 0

    def run(self, program: list[Script]) -> list[Note]:
        """Run `program` to its end and return the notes."""
        self.loop.call_soon(self.ticker)
        for number, script in enumerate(program):
            self.tasks.append(self.loop.create_task(self.script(str(number), script)))
        self.loop.run_forever()
        for task in self.tasks:
            outcome = "pending" if not task.done() else "cancelled" if task.cancelled() else repr(task.exception())
            self.notes.append(("end", outcome))
        return self.notes

    def forget(self) -> None:
        """Leave nothing of which anybody could complain: what is pending, failed or not begun."""
        for task in self.tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            elif not task.cancelled():
                task.exception()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for script in self.scripts:
                if inspect.getcoroutinestate(script) == inspect.CORO_CREATED:
                    script.close()

    def turn(self, turn: int) -> None:
        """Called in every turn: ends the program when nothing is left of it."""
        if turn >= PATIENCE and turn % 3 == 0:
            left = [task for task in self.tasks if not task.done()]
            for task in left:
                task.cancel(f"turn {turn}")
            for lock in [*self.locks, *self.conditions]:  # who waits for a condition's lock does not end without it
                if lock.locked():
                    lock.release()
            if not left or turn > END:
                self.loop.stop()

    def reported(self, _loop: Any, report: dict[str, Any]) -> None:
        """The loop's exception handler."""
        error = report.get("exception")
        self.notes.append(("reported", report["message"], error and told(error)))

    def note(self, *what: Any) -> None:
        """Write down something, with the turn."""
        self.notes.append((self.ticker.turns, *what))

    def script(self, name: str, script: Script) -> Coroutine[Any, Any, str]:
        """The coroutine of a task of its own."""
        coroutine = self.begin(name, script)
        self.scripts.append(coroutine)
        return coroutine

    async def begin(self, name: str, script: Script) -> str:
        task = asyncio.current_task()
        assert task is not None
        if task not in self.tasks:
            self.tasks.append(task)
        await self.operations(name, script)
        return name

    async def operations(self, name: str, script: Script) -> None:
        """One after the other."""
        task = asyncio.current_task()
        assert task is not None
        for place, (operation, *arguments) in enumerate(script):
            here = f"{name}.{place} {operation}"
            self.note(here, "begins", task.cancelling())
            try:
                result = getattr(self, operation)(here, *arguments)
                if isinstance(result, (types.CoroutineType, asyncio.Future)) or hasattr(result, "__await__"):
                    result = await result
            except BaseException as error:
                self.note(here, "raises", told(error), task.cancelling())
                # What the program itself raises goes on, and so does the end of a task.
                if isinstance(error, (asyncio.CancelledError, LookupError, BaseExceptionGroup)):
                    raise
            else:
                self.note(here, "gives", result, task.cancelling())

    def pick(self, among: list[Any], number: int) -> Any:
        """The object of that number."""
        return among[number % len(among)]

    def delay(self, ticks: int) -> float:
        """Seconds until just before the end of so many ticks."""
        self.timers += 1
        return self.clock.delay(ticks, self.timers) if ticks else 0.0

    # Time and callbacks.

    def sleep(self, here: str, ticks: int) -> Any:
        return self.module.sleep(self.delay(ticks), "slept")

    def call_soon(self, here: str, _number: int) -> None:
        self.handles.append(self.loop.call_soon(self.note, here, "called"))

    def call_later(self, here: str, number: int, ticks: int) -> None:
        self.handles.append(self.loop.call_later(self.delay(ticks), self.note, here, "called"))

    def handle_cancel(self, here: str, number: int) -> Any:
        if not self.handles:
            return None
        handle = self.pick(self.handles, number)
        handle.cancel()
        return handle.cancelled()

    def fail(self, here: str) -> None:
        raise LookupError(here)

    # Locks.

    def lock_acquire(self, here: str, number: int) -> Any:
        return self.pick(self.locks, number).acquire()

    def lock_release(self, here: str, number: int) -> Any:
        lock = self.pick(self.locks, number)
        lock.release()
        return lock.locked()

    def semaphore_acquire(self, here: str, number: int) -> Any:
        return self.pick(self.semaphores, number).acquire()

    def semaphore_release(self, here: str, number: int) -> Any:
        semaphore = self.pick(self.semaphores, number)
        semaphore.release()
        return semaphore.locked()

    def bounded_acquire(self, here: str, number: int) -> Any:
        return self.pick(self.bounded, number).acquire()

    def bounded_release(self, here: str, number: int) -> Any:
        semaphore = self.pick(self.bounded, number)
        semaphore.release()
        return semaphore.locked()

    async def with_lock(self, here: str, number: int, script: Script) -> None:
        async with self.pick(self.locks, number):
            await self.operations(here, script)

    async def with_semaphore(self, here: str, number: int, script: Script) -> None:
        async with self.pick(self.semaphores, number):
            await self.operations(here, script)

    def event_set(self, here: str, number: int) -> None:
        self.pick(self.events, number).set()

    def event_clear(self, here: str, number: int) -> None:
        self.pick(self.events, number).clear()

    def event_wait(self, here: str, number: int) -> Any:
        return self.pick(self.events, number).wait()

    async def with_condition(self, here: str, number: int, script: Script) -> None:
        async with self.pick(self.conditions, number):
            await self.operations(here, script)

    async def condition_wait(self, here: str, number: int, ticks: int) -> Any:
        condition = self.pick(self.conditions, number)
        async with condition:
            self.note(here, "entered")
            if ticks == 0:
                return await condition.wait()
            answers = iter([False] * (ticks % 3) + [True])
            return await condition.wait_for(lambda: next(answers))

    async def condition_notify(self, here: str, number: int, count: int) -> None:
        condition = self.pick(self.conditions, number)
        async with condition:
            if count:
                condition.notify(count)
            else:
                condition.notify_all()

    async def barrier_wait(self, here: str, number: int) -> Any:
        barrier = self.pick(self.barriers, number)
        return await barrier.wait(), barrier.n_waiting, barrier.broken

    def barrier_reset(self, here: str, number: int) -> Any:
        return self.pick(self.barriers, number).reset()

    def barrier_abort(self, here: str, number: int) -> Any:
        return self.pick(self.barriers, number).abort()

    # Queues.

    def item(self) -> int:
        self.items += 1
        return self.items * 7 % 11  # no two alike for a while, and not in order

    def queue_put(self, here: str, number: int) -> Any:
        return self.pick(self.queues, number).put(self.item())

    def queue_get(self, here: str, number: int) -> Any:
        return self.pick(self.queues, number).get()

    def queue_put_nowait(self, here: str, number: int) -> Any:
        queue = self.pick(self.queues, number)
        queue.put_nowait(self.item())
        return queue.qsize(), queue.full()

    def queue_get_nowait(self, here: str, number: int) -> Any:
        return self.pick(self.queues, number).get_nowait()

    def queue_task_done(self, here: str, number: int) -> None:
        self.pick(self.queues, number).task_done()

    def queue_join(self, here: str, number: int) -> Any:
        return self.pick(self.queues, number).join()

    def queue_shutdown(self, here: str, number: int) -> None:
        self.pick(self.queues, number).shutdown(immediate=number > 1)

    # Futures and tasks.

    def future_set(self, here: str, number: int) -> None:
        self.pick(self.futures, number).set_result(here)

    def future_fail(self, here: str, number: int) -> None:
        future = self.pick(self.futures, number)
        future.set_exception(ValueError(here))
        future.exception()

    def future_cancel(self, here: str, number: int) -> Any:
        return self.pick(self.futures, number).cancel(here)

    async def future_await(self, here: str, number: int) -> Any:
        """Await one; a new one stands in its place if it is done."""
        index = number % len(self.futures)
        future = self.futures[index]
        if future.done():
            self.futures[index] = self.loop.create_future()
        return await future

    def future_callback(self, here: str, number: int) -> None:
        self.pick(self.futures, number).add_done_callback(lambda future: self.note(here, "called", future.cancelled()))

    def task_cancel(self, here: str, number: int) -> Any:
        return self.pick(self.tasks, number).cancel(here)

    async def task_await(self, here: str, number: int) -> Any:
        """Await a task that is younger than this one: they cannot await each other."""
        task = asyncio.current_task()
        assert task is not None
        younger = self.tasks[self.tasks.index(task) + 1 :]
        return await self.pick(younger, number) if younger else None

    def task_uncancel_self(self, here: str, number: int) -> Any:
        task = asyncio.current_task()
        assert task is not None
        return task.uncancel()

    def spawn(self, here: str, script: Script) -> None:
        self.tasks.append(self.loop.create_task(self.script(here, script)))

    # Combinations.

    async def timeout(self, here: str, ticks: int, script: Script) -> Any:
        async with self.module.timeout(self.delay(ticks)) as timeout:
            await self.operations(here, script)
        return timeout.expired()

    def wait_for(self, here: str, ticks: int, script: Script) -> Any:
        return self.module.wait_for(self.script(here, script), self.delay(ticks))

    async def catch_cancel(self, here: str, again: bool, script: Script) -> Any:
        try:
            return await self.operations(here, script)
        except asyncio.CancelledError as error:
            if again:
                raise
            return told(error)

    async def finally_(self, here: str, script: Script, last: Script) -> None:
        try:
            await self.operations(here, script)
        finally:
            await self.operations(here + " at last", last)

    def children(self, here: str, scripts: list[Script]) -> list[Coroutine[Any, Any, str]]:
        return [self.script(f"{here} {number}", script) for number, script in enumerate(scripts)]

    async def group(self, here: str, scripts: list[Script], body: Script) -> Any:
        async with self.module.TaskGroup() as group:
            tasks = [group.create_task(child) for child in self.children(here, scripts)]
            self.tasks.extend(tasks)
            await self.operations(here + " body", body)
        return [task.result() for task in tasks if not task.cancelled()]

    async def gather(self, here: str, scripts: list[Script], return_exceptions: bool) -> Any:
        results = await self.module.gather(*self.children(here, scripts), return_exceptions=return_exceptions)
        return [told(result) if isinstance(result, BaseException) else result for result in results]

    async def wait(self, here: str, scripts: list[Script], ticks: int | None, until: int) -> Any:
        tasks = [self.loop.create_task(child) for child in self.children(here, scripts)]
        self.tasks.extend(tasks)
        when = [asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED][until]
        timeout = None if ticks is None else self.delay(ticks)
        done, _ = await self.module.wait(tasks, timeout=timeout, return_when=when)
        return [task in done for task in tasks]

    async def as_completed(self, here: str, scripts: list[Script], ticks: int | None) -> Any:
        timeout = None if ticks is None else self.delay(ticks)
        tasks = [self.loop.create_task(child) for child in self.children(here, scripts)]
        self.tasks.extend(tasks)
        results = []
        for each in self.module.as_completed(tasks, timeout=timeout):
            try:
                results.append(await each)
            except (LookupError, BaseExceptionGroup) as error:
                results.append(told(error))
        return results

    async def shield(self, here: str, script: Script) -> Any:
        task = self.loop.create_task(self.script(here, script))
        self.tasks.append(task)
        return await self.module.shield(task)


setattr(World, "finally", World.finally_)

Factory = Callable[[], asyncio.AbstractEventLoop]


def observe(
    module: Any, factory: Factory, clock: type[Counted | Paced], program: list[Script], attempts: int = 10
) -> list[Note] | None:
    """What `program` observes with the building blocks of `module`, on a new loop.

    None if the machine was late in every attempt.
    """
    for _ in range(attempts):
        loop = factory()
        time = clock(loop)
        world = World(module, loop, time)
        notes = world.run(program)
        world.forget()
        loop.close()
        if not time.late:
            return notes
    return None
