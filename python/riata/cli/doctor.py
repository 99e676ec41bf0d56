"""`riata doctor`: what this machine and this environment have for a loop, and what to change.

Each probe is a function that gives findings. Nothing is changed, and no library that it asks about is imported.
"""

import ctypes
import errno
import importlib.metadata
import os
import platform
import resource
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import click


class Grade(Enum):
    """How a finding is to be taken."""

    FINE = "ok"
    HINT = "hint"
    PROBLEM = "problem"


COLOURS: Final = {Grade.FINE: "green", Grade.HINT: "yellow", Grade.PROBLEM: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    grade: Grade
    subject: str
    found: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""


def _fine(subject: str, found: str) -> Finding:
    return Finding(Grade.FINE, subject, found)


def interpreter() -> Iterator[Finding]:
    """Python, and whether riata's native half is for it."""
    import riata

    build = "free-threaded build" if sysconfig.get_config_var("Py_GIL_DISABLED") else "build with the GIL"
    python = f"{platform.python_implementation()} {platform.python_version()}, {build}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        yield Finding(Grade.HINT, "Python", python, "riata turns the GIL on; the ordinary build is quicker")
    else:
        yield _fine("Python", python)
    yield _fine("riata", f"{riata.__version__}, in {Path(riata.__file__).parent}")


def kernel() -> Iterator[Finding]:
    """The kernel's version, and what riata does without on an old one."""
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers >= (5, 11):
        yield _fine("kernel", f"Linux {release}")
    elif numbers >= (5, 3):
        yield Finding(Grade.HINT, "kernel", f"Linux {release}", "from 5.11 on timers need one system call less")
    else:
        advice = "riata is tested on 5.11 and later; before 5.3 a thread waits for child processes"
        yield Finding(Grade.HINT, "kernel", f"Linux {release}", advice)
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        advice = "children are waited for by a thread; let the container's profile allow pidfd_open"
        yield Finding(Grade.HINT, "pidfd", f"refused ({errno.errorcode.get(error.errno or 0, error.errno)})", advice)
    else:
        yield _fine("pidfd", "available")


_IO_URING_SETUP: Final = 425  # the same number on every architecture


def io_uring() -> Iterator[Finding]:
    """Whether the kernel would give an io_uring. None is made: the argument is invalid on purpose."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(_IO_URING_SETUP, 0, None)
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EPERM):
        name = errno.errorcode[code]
        yield _fine("io_uring", f"not available ({name}); riata uses epoll, so nothing is missing")
    else:
        yield _fine("io_uring", "available; riata uses epoll")


def limits() -> Iterator[Finding]:
    """How many descriptors and waiting connections there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{_limit(soft)}, at most {_limit(hard)}"
    if 0 <= soft < 10_000:
        advice = "that many connections and a server has no descriptors left: ulimit -n 65536, or LimitNOFILE="
        yield Finding(Grade.HINT, "open files (RLIMIT_NOFILE)", found, advice)
    else:
        yield _fine("open files (RLIMIT_NOFILE)", found)
    backlog = _number("/proc/sys/net/core/somaxconn")
    if backlog is None:
        yield _fine("waiting connections (somaxconn)", "cannot be read")
    elif backlog < 1024:
        advice = "bursts of connections beyond it are refused or delayed: sysctl net.core.somaxconn=4096"
        yield Finding(Grade.HINT, "waiting connections (somaxconn)", str(backlog), advice)
    else:
        yield _fine("waiting connections (somaxconn)", str(backlog))


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


# Distributions that bring a loop of their own, choose one, or change asyncio's, and what to do about each.
_LIBRARIES: Final[dict[str, tuple[Grade, str]]] = {
    "uvloop": (Grade.HINT, "frameworks take it when it is there: name riata's loop to them, or uninstall it"),
    "uvicorn": (Grade.HINT, "takes uvloop if it is installed: uvicorn --loop riata:new_event_loop"),
    "gunicorn": (Grade.HINT, "workers choose the loop; in a UvicornWorker: CONFIG_KWARGS loop='riata:new_event_loop'"),
    "hypercorn": (
        Grade.HINT,
        "its command forks; in a program: riata.run(hypercorn.asyncio.serve(app, config))",
    ),
    "sanic": (Grade.HINT, "takes uvloop if it is installed: app.config.USE_UVLOOP = False, under riata run"),
    "pytest-asyncio": (Grade.HINT, "makes a loop for each test: define its hook pytest_asyncio_loop_factories"),
    "ipykernel": (
        Grade.HINT,
        "kernels are started by Jupyter: one of argv riata run -m ipykernel_launcher -f {connection_file}",
    ),
    "distributed": (Grade.HINT, "worker processes choose their loop; with processes=False: riata run"),
    "twisted": (Grade.HINT, "has a reactor of its own: install twisted.internet.asyncioreactor, under riata run"),
    "trio": (Grade.HINT, "has a loop of its own; anyio programs run on riata with backend='asyncio'"),
    "gevent": (Grade.HINT, "its hub takes riata's loop: riata run, or GEVENT_LOOP=riata.gevent.Loop"),
    "rloop": (Grade.HINT, "another loop: the one that is installed into asyncio last is used"),
    "qasync": (Grade.PROBLEM, "runs coroutines on Qt's loop: leave riata out of that process"),
    "nest-asyncio": (Grade.PROBLEM, "turns asyncio's loop by hand, which does not work on riata's: do without apply()"),
}


def libraries() -> Iterator[Finding]:
    """Which installed libraries bring or choose a loop."""
    found = False
    for name, (grade, advice) in _LIBRARIES.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found = True
        yield Finding(grade, name, version, advice)
    if not found:
        yield _fine("libraries", "none that brings or chooses a loop of its own")


def environment() -> Iterator[Finding]:
    """Variables that change how loops run."""
    if os.environ.get("PYTHONASYNCIODEBUG"):
        advice = "debug mode is several times slower: unset it for measurements"
        yield Finding(Grade.HINT, "PYTHONASYNCIODEBUG", os.environ["PYTHONASYNCIODEBUG"], advice)
    if sys.flags.dev_mode:
        yield Finding(Grade.HINT, "development mode", "on", "it turns asyncio's debug mode on, too")


def works() -> Iterator[Finding]:
    """Whether a coroutine runs."""
    import asyncio

    import riata

    async def main() -> int:
        return await asyncio.sleep(0, 42)

    try:
        answer = riata.run(main())
    except Exception as error:
        yield Finding(
            Grade.PROBLEM, "a coroutine on riata", f"{type(error).__name__}: {error}", "report it, with this page"
        )
    else:
        yield _fine("a coroutine on riata", f"runs, and returned {answer}")


PROBES: Final = (interpreter, kernel, io_uring, limits, environment, libraries, works)


@click.command(
    short_help="Look at this machine and its libraries.",
    epilog="""\b
Examples:
  riata doctor
  riata doctor | less
""",
)
def doctor() -> None:
    """Look at kernel, Python, limits and libraries, and say what to change.

    Ends with status 1 if something keeps programs from running on riata.
    """
    findings = [finding for probe in PROBES for finding in probe()]
    for finding in findings:
        mark = click.style(f"{finding.grade.value:>7}", fg=COLOURS[finding.grade])
        click.echo(f"{mark}  {finding.subject}: {finding.found}")
        if finding.advice:
            click.echo(f"{'':>9}{finding.advice}")
    if any(finding.grade is Grade.PROBLEM for finding in findings):
        raise click.exceptions.Exit(1)
