"""What is to be run: CPython's test files, and the variants each of them runs in.

A variant says what stands where. One test file in one variant with debug mode on or off is a *job*, and each
job is a process. The ids of tests are the same in all variants, so that each can be held against what asyncio
itself passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """What of riata is put in place before the test file is loaded.

    Attributes:
        task: riata's Task stands where `asyncio.tasks._CTask` was.
        future: riata's Future stands where `asyncio.futures._CFuture` was.
        own_loop: the suite's fake-time `TestLoop` is replaced by a loop of riata's whose clock the test drives;
            otherwise `TestLoop` stays, a foreign loop to riata's Task and Future.
        installed: asyncio's building blocks are riata's too: what `riata.install()` does.

    Every variant replaces the loop that `asyncio.new_event_loop`, the policy, `asyncio.SelectorEventLoop` and
    `asyncio.EventLoop` give.
    """

    task: bool
    future: bool
    own_loop: bool
    installed: bool = False


VARIANTS: Mapping[str, Variant] = {
    "riata": Variant(task=True, future=True, own_loop=True),
    "installed": Variant(task=True, future=True, own_loop=True, installed=True),
    "foreign-loop": Variant(task=True, future=True, own_loop=False),
    "cpython-future": Variant(task=True, future=False, own_loop=True),
    "cpython-task": Variant(task=False, future=True, own_loop=True),
    "loop-only": Variant(task=False, future=False, own_loop=True),
}
"""The variants by name; `asyncio` (nothing replaced) is the baseline and no member of this table."""

BASELINE = "asyncio"
"""The name under which a run with nothing replaced is reported."""


@dataclass(frozen=True)
class TestFile:
    """One file of `Lib/test/test_asyncio`.

    Attributes:
        name: module name inside `test.test_asyncio`.
        variants: names of `VARIANTS` it runs in.
        loopless: no test in it ever runs a loop, so that idle counters prove nothing.
    """

    __test__ = False  # Its name must not make pytest collect it.

    name: str
    variants: tuple[str, ...] = ("riata",)
    loopless: bool = False


_ALL_VARIANTS = tuple(VARIANTS)
_BOTH = ("riata", "installed")

FILES: tuple[TestFile, ...] = (
    # Those with `Task` and `Future` class attributes, in every combination of riata's and CPython's.
    # The longest one comes first, so that the short ones fill in beside it.
    TestFile("test_tasks", _ALL_VARIANTS),
    TestFile("test_futures", _ALL_VARIANTS),
    TestFile("test_futures2", _ALL_VARIANTS),
    TestFile("test_eager_task_factory", _ALL_VARIANTS),
    # Those that take whatever loop they are given.
    TestFile("test_subprocess", _BOTH),
    TestFile("test_events", _BOTH),
    TestFile("test_ssl"),
    TestFile("test_sslproto"),
    TestFile("test_streams", _BOTH),
    TestFile("test_server", _BOTH),
    TestFile("test_sendfile"),
    TestFile("test_sock_lowlevel", _BOTH),
    TestFile("test_unix_events", _BOTH),
    TestFile("test_base_events", _BOTH),
    TestFile("test_buffered_proto"),
    TestFile("test_server_context"),
    TestFile("test_staggered", _BOTH),
    TestFile("test_taskgroups", _BOTH),
    TestFile("test_waitfor", _BOTH),
    TestFile("test_locks", _BOTH),
    TestFile("test_queues", _BOTH),
    TestFile("test_timeouts", _BOTH),
    TestFile("test_context", _BOTH),
    TestFile("test_pep492", _BOTH),
    TestFile("test_runners", _BOTH),
    TestFile("test_threads", _BOTH),
    TestFile("test_graph", _BOTH),
    TestFile("test_free_threading", _BOTH),
    TestFile("test_transports", loopless=True),
    TestFile("test_protocols", loopless=True),
    TestFile("test_tools", loopless=True),
)
"""Every file that can be pointed at another loop. A file that an interpreter does not have is left out there."""

NEVER: Mapping[str, str] = {
    "test_selector_events": "white-box test of BaseSelectorEventLoop and its transports, on a mocked selector",
    "test_proactor_events": "white-box test of BaseProactorEventLoop, on a mocked proactor",
    "test_windows_events": "tests asyncio.windows_events; Windows only",
    "test_windows_utils": "tests asyncio.windows_utils; Windows only",
}
"""Files that are not run at all, and why. A file in neither table makes the run fail: it is a new one."""


def file_named(name: str) -> TestFile:
    """Find the plan of a test file by its module name.

    Raises:
        KeyError: there is no such file in `FILES`.
    """
    for file in FILES:
        if file.name == name:
            return file
    raise KeyError(name)


@dataclass(frozen=True)
class Job:
    """One test file in one variant with asyncio's debug mode on or off: the work of one child process."""

    file: str
    variant: str
    debug: bool

    def __str__(self) -> str:
        return f"{self.file}[{self.variant}, debug {'on' if self.debug else 'off'}]"
