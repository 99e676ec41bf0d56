"""Prepares a fresh interpreter for the program that `riata run` starts in it.

`cli/boot/sitecustomize.py` calls this before the program's first line. What is imported here stays imported for the
program: so nothing is but what it asks for, and click least of all.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def prepare(options: str) -> None:
    """Install riata as `options` ask for: the words of `riata.cli.interpreter.words`."""
    asked = {name: value for name, _, value in (word.partition("=") for word in options.split("\x1f"))}
    if "legacy" in asked:
        from riata import legacy

        legacy.enable()
    match asked.get("loop", "riata"):
        case "riata":
            import riata
            from riata import _gevent

            riata.install(primitives="no_primitives" not in asked)
            _gevent.choose_when_imported()
            if "unblock" in asked:
                riata.unblock()
        case "uvloop":
            _install_uvloop()
        case _:
            pass  # asyncio's, as it is
    if "watchdog" in asked:
        from riata import watchdog

        watchdog.start(float(asked["watchdog"]))
    if "profile" in asked:
        _profile(asked["profile"])
    if "quiet" in asked:
        _end_quietly()


def _install_uvloop() -> None:
    import asyncio
    import importlib
    import warnings

    uvloop = importlib.import_module("uvloop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # policies are, and uvloop has nothing else for this
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def _end_quietly() -> None:
    """Have KeyboardInterrupt, which every restart brings, end the program without a traceback."""
    told = sys.excepthook

    def quiet(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if kind is not KeyboardInterrupt:
            told(kind, error, traceback)

    sys.excepthook = quiet


def _profile(place: str) -> None:
    """Profile the main thread from now to the end; to the file `place`, or as a table on stderr for `-`."""
    import atexit
    import cProfile
    import pstats

    profiler = cProfile.Profile()

    def report() -> None:
        profiler.disable()
        if place == "-":
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(30)
        else:
            profiler.dump_stats(place)

    atexit.register(report)
    profiler.enable()
