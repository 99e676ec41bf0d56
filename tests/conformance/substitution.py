"""Puts riata's loop, Task and Future where asyncio's were, inside the process that runs one test file.

Almost everything is done by names, before the test file is loaded: the test classes bind `tasks._CTask`,
`futures._CFuture`, `asyncio.SelectorEventLoop` and the policy when they are defined or when they run, so that
whatever was there is what they test. No list of test classes is needed and none can be forgotten. What a file
holds on to by other names is put right after it is loaded.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.events
import asyncio.futures
import asyncio.tasks
import asyncio.unix_events
import importlib
import unittest
import weakref
from collections import Counter
from types import ModuleType
from typing import Any
from unittest import mock

from . import fake_time
from .plan import VARIANTS, Variant

C_TASK: Any = asyncio.tasks._CTask  # type: ignore[attr-defined]
C_FUTURE: Any = asyncio.futures._CFuture  # type: ignore[attr-defined]

_POLICY_NAMES = (
    (asyncio, "DefaultEventLoopPolicy"),
    (asyncio.unix_events, "DefaultEventLoopPolicy"),
    (asyncio.unix_events, "_DefaultEventLoopPolicy"),
)
"""Where asyncio looks for the policy to start with: the first up to Python 3.13, the last from 3.14."""


_AWAITED_BY = ("future_add_to_awaited_by", "future_discard_from_awaited_by")
"""What asyncio notes waits with, for the call graph of 3.14. riata replaces both as it is imported; tests take them
by the names of their C versions."""


class Substitution:
    """What one variant replaces, and the counters that prove the replacement did the work."""

    def __init__(self, module_name: str, variant: str) -> None:
        """Import the module that stands in for asyncio: `riata`, or the stand-in in this folder.

        Raises:
            ImportError: it cannot be imported by this interpreter.
        """
        self.module: Any = importlib.import_module(module_name)
        self.variant: Variant = VARIANTS[variant]
        self.counters: Counter[str] = Counter()
        self.loops = 0
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()

    def before_loading(self) -> None:
        """Replace what test files look up by name; call this before any of them is imported."""
        self._count_work()
        if self.variant.installed:
            self.module.install()
        if self.variant.task:
            asyncio.tasks._CTask = self.module.Task  # type: ignore[attr-defined]
        if self.variant.future:
            asyncio.futures._CFuture = self.module.Future  # type: ignore[attr-defined]
            for name in _AWAITED_BY:
                if hasattr(asyncio.futures, name):
                    setattr(asyncio.futures, f"_c_{name}", getattr(asyncio.futures, name))
        self._replace_loop_classes()
        self._replace_policy()
        test_utils: Any = importlib.import_module("test.test_asyncio.utils")
        if self.variant.own_loop:
            self._replace_test_loop(test_utils.TestCase)

    def after_loading(self, tests: ModuleType) -> None:
        """Put right what a loaded test file took by another name."""
        for case in _test_cases(tests):
            self._rebind_class_attributes(case)
        adapt = getattr(self, f"_adapt_{tests.__name__.rpartition('.')[2]}", None)
        if adapt is not None:
            adapt(tests)

    def still_in_place(self) -> bool:
        """Whether the file's tests left the classes alone that were put in place for them."""
        task = asyncio.tasks._CTask is (self.module.Task if self.variant.task else C_TASK)  # type: ignore[attr-defined]
        future = asyncio.futures._CFuture is (  # type: ignore[attr-defined]
            self.module.Future if self.variant.future else C_FUTURE
        )
        return task and future

    def work(self) -> int:
        """A number that grows with each loop of riata's that is made, and with each turn of one."""
        return self.loops + self.counters["turns"] + sum(loop.stats()["turns"] for loop in self._open)

    # Before loading

    def _count_work(self) -> None:
        """Add up `loop.stats()` of each loop as it is closed, and know those that are open."""
        loop_class = self.module.Loop
        init = loop_class.__init__
        close = loop_class.close

        def init_and_note(loop: Any, *args: Any, **kwargs: Any) -> None:
            init(loop, *args, **kwargs)
            self._open.add(loop)
            self.loops += 1

        def close_and_count(loop: Any) -> None:
            if not loop.is_closed():
                self._add(loop.stats())
                self._open.discard(loop)
            close(loop)

        loop_class.__init__ = init_and_note
        loop_class.close = close_and_count

    def _add(self, stats: dict[str, Any]) -> None:
        for name, value in stats.items():
            if isinstance(value, int):
                self.counters[name] += value

    def _replace_loop_classes(self) -> None:
        """Have `asyncio.SelectorEventLoop(selector)` and `asyncio.EventLoop()` give a loop of riata's."""
        new_event_loop = self.module.new_event_loop
        loop_class = self.module.Loop

        class Pointed(type):
            def __call__(cls, selector: Any = None) -> Any:
                if selector is not None:
                    selector.close()
                return new_event_loop()

            def __instancecheck__(cls, instance: Any) -> bool:
                return isinstance(instance, loop_class)

        pointed: Any = Pointed("SelectorEventLoop", (), {})
        asyncio.SelectorEventLoop = pointed
        if hasattr(asyncio, "EventLoop"):
            asyncio.EventLoop = pointed

    def _replace_policy(self) -> None:
        """Make riata's policy the one that asyncio starts with, and starts again with after `None`."""
        policy = getattr(self.module, "EventLoopPolicy", None)
        if policy is None:
            asyncio.new_event_loop = self.module.new_event_loop
            asyncio.events.new_event_loop = self.module.new_event_loop
            return
        for owner, name in _POLICY_NAMES:
            if name in vars(owner):
                setattr(owner, name, policy)
        asyncio.events._event_loop_policy = None  # type: ignore[attr-defined]

    def _replace_test_loop(self, test_case: Any) -> None:
        """Have `TestCase.new_test_loop` make riata's loop, with the test's generator as its clock if it has one."""
        module = self.module
        generator_clock_loop = fake_time.with_generator_clock(module.Loop)

        def new_test_loop(case: Any, gen: Any = None) -> Any:
            loop = module.new_event_loop() if gen is None else generator_clock_loop(gen)
            case.set_event_loop(loop)
            return loop

        test_case.new_test_loop = new_test_loop

    # After loading

    def _rebind_class_attributes(self, case: Any) -> None:
        """Replace CPython's classes where a test class holds them itself (`Task = asyncio.Task`)."""
        for name in ("Task", "Future", "cls"):
            held = vars(case).get(name)
            if held is C_TASK and self.variant.task:
                setattr(case, name, self.module.Task)
            elif held is C_FUTURE and self.variant.future:
                setattr(case, name, self.module.Future)

    def _adapt_test_tasks(self, tests: Any) -> None:
        """`GatherTestsBase` turns the loop while `loop._ready` is not empty; a number of turns does as well."""
        if not self.variant.own_loop:
            return
        run_briefly = tests.test_utils.run_briefly

        def run_loop(case: Any, loop: Any) -> None:
            for _ in range(10):
                run_briefly(loop)

        tests.GatherTestsBase._run_loop = run_loop

    def _adapt_test_runners(self, tests: Any) -> None:
        """`BaseTest.new_loop` makes a `BaseEventLoop` on a mocked selector, to see `shutdown_asyncgens` called."""
        new_event_loop = self.module.new_event_loop

        def new_loop(case: Any) -> Any:
            loop = new_event_loop()
            loop.shutdown_ag_run = False

            async def shutdown_asyncgens() -> None:
                loop.shutdown_ag_run = True

            loop.shutdown_asyncgens = shutdown_asyncgens
            return loop

        tests.BaseTest.new_loop = new_loop

    def _adapt_test_pep492(self, tests: Any) -> None:
        """`BaseTest.setUp` makes a `BaseEventLoop` on a mocked selector, to have one that never waits."""
        new_event_loop = self.module.new_event_loop

        def set_up(case: Any) -> None:
            tests.test_utils.TestCase.setUp(case)
            case.loop = new_event_loop()
            case.set_event_loop(case.loop)

        tests.BaseTest.setUp = set_up

    def _adapt_test_base_events(self, tests: Any) -> None:
        """Two classes make loops of asyncio's base classes.

        `BaseEventLoopTests`: a `BaseEventLoop` on a mocked selector, to have one that never waits.
        `BaseLoopSockSendfileTests`: a `BaseSelectorEventLoop`, to have one without the system call.
        """
        new_event_loop = self.module.new_event_loop

        class WithoutSendfile(self.module.Loop):  # type: ignore[name-defined, misc]
            _sock_sendfile_native = asyncio.base_events.BaseEventLoop._sock_sendfile_native  # type: ignore[attr-defined]

        def set_up(case: Any) -> None:
            tests.test_utils.TestCase.setUp(case)
            case.loop = new_event_loop()
            case.set_event_loop(case.loop)

        def set_up_for_sendfile(case: Any) -> None:
            tests.test_utils.TestCase.setUp(case)
            case.loop = WithoutSendfile()
            case.set_event_loop(case.loop)
            case.file = open(tests.os_helper.TESTFN, "rb")  # noqa: SIM115
            case.addCleanup(case.file.close)

        tests.BaseEventLoopTests.setUp = set_up
        tests.BaseLoopSockSendfileTests.setUp = set_up_for_sendfile

    def _adapt_test_events(self, tests: Any) -> None:
        """`HandleTests` and `TimerTests` make handles by hand: riata's, in the place of asyncio's."""
        replaced = {"Handle": self.module.Handle, "TimerHandle": self.module.TimerHandle}
        for name in ("HandleTests", "TimerTests"):
            case = getattr(tests, name)
            case.setUp = _with_patches(case.setUp, asyncio, replaced)


def _with_patches(set_up: Any, owner: Any, replaced: dict[str, Any]) -> Any:
    """Wrap a `setUp` so that names of `owner` are replaced from its start to the test's cleanup."""

    def patched_set_up(case: unittest.TestCase) -> None:
        for name, value in replaced.items():
            patcher = mock.patch.object(owner, name, value)
            patcher.start()
            case.addCleanup(patcher.stop)
        set_up(case)

    return patched_set_up


def _test_cases(tests: ModuleType) -> list[type[unittest.TestCase]]:
    """The test classes of a loaded file, in the order in which it defines them."""
    return [
        value
        for value in vars(tests).values()
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == tests.__name__
    ]
