"""Mistakes, each answered with asyncio's own exception: no crash, no hang, no leak.

Both loops run each case in a process of its own; what they print (exception types and texts) must be the same.
"""

import re
import sys

import pytest

from .processes import output

CASES = {
    "closed loop": """
        loop = new_event_loop()
        loop.close()
        loop.close()
        coroutine = asyncio.sleep(0)
        import socket
        ours, theirs = socket.socketpair()
        for name, arguments in (
            ("call_soon", (print,)), ("call_soon_threadsafe", (print,)), ("call_later", (1, print)),
            ("call_at", (1, print)), ("create_task", (coroutine,)), ("run_forever", ()),
            ("run_until_complete", (coroutine,)), ("run_in_executor", (None, print)), ("add_reader", (ours, print)),
            ("add_writer", (ours, print)), ("remove_reader", (ours,)), ("remove_writer", (ours,)),
            ("add_signal_handler", (signal.SIGUSR1, print)), ("is_running", ()), ("is_closed", ()), ("stop", ()),
        ):
            try:
                print(name, getattr(loop, name)(*arguments))
            except Exception as error:
                print(name, type(error).__name__, error)
        coroutine.close()
    """,
    "closing a loop with work left": """
        loop = new_event_loop()
        loop.call_soon(print, "never")
        loop.call_later(0, print, "never")
        async def main():
            try:
                loop.close()
            except RuntimeError as error:
                print(error)
        loop.run_until_complete(main())
        loop.call_soon(print, "never")
        loop.close()
        print(loop.is_closed())
    """,
    "what is no coroutine": """
        loop = new_event_loop()
        def generator():
            yield
        async def function():
            pass
        for wrong in (None, 1, function, print):
            threadsafe = lambda one: asyncio.run_coroutine_threadsafe(one, loop)
            for take in (loop.create_task, loop.run_until_complete, threadsafe):
                try:
                    take(wrong)
                except (TypeError, ValueError) as error:
                    print(type(error).__name__, str(error)[:30])
        loop.close()
    """,
    "delays": """
        loop = new_event_loop()
        for delay in (None, "1", [], float("nan"), -1, float("-inf")):
            try:
                timer = loop.call_later(delay, print, "called", delay)
                print(type(timer).__name__, isinstance(timer, asyncio.TimerHandle))
            except TypeError as error:
                print("TypeError", delay)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
    """,
    "wrong arguments": """
        loop = new_event_loop()
        for call in (
            lambda: loop.call_soon(), lambda: loop.call_later(1), lambda: loop.call_at(1), lambda: loop.create_task(),
            lambda: loop.call_soon(print, wrong=1), lambda: loop.set_task_factory(1), lambda: loop.create_future(1),
            lambda: loop.set_exception_handler(1), lambda: loop.set_debug(), lambda: loop.add_reader(0),
            lambda: loop.set_default_executor(1), lambda: loop.call_exception_handler(),
        ):
            try:
                call()
            except TypeError as error:
                print("TypeError")
        loop.close()
    """,
    "SystemExit from a callback": """
        loop = new_event_loop()
        def leave():
            raise SystemExit(3)
        loop.call_soon(print, "before")
        loop.call_soon(leave)
        loop.call_soon(print, "after")
        try:
            loop.run_forever()
        except SystemExit as error:
            print("SystemExit", error.code)
        print(loop.is_running(), asyncio._get_running_loop())
        loop.call_soon(loop.stop)
        loop.run_forever()
        for schedule in (lambda f: loop.call_later(0, f), lambda f: loop.call_soon_threadsafe(f)):
            schedule(leave)
            try:
                loop.run_forever()
            except SystemExit as error:
                print("SystemExit", error.code)
        async def main():
            future = loop.create_future()
            future.add_done_callback(lambda _: leave())
            future.set_result(None)
            await asyncio.sleep(1000)
        task = loop.create_task(main())
        try:
            loop.run_until_complete(task)
        except SystemExit as error:
            print("SystemExit", error.code, task.done())
        task.cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()
        print(task.cancelled())
        loop.close()
    """,
    "SystemExit and KeyboardInterrupt from a task": """
        loop = new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        for error in (SystemExit("left"), KeyboardInterrupt("pressed")):
            async def leave():
                await asyncio.sleep(0)
                raise error
            async def waits():
                await task
            task = loop.create_task(leave())
            waiting = loop.create_task(waits())
            try:
                loop.run_until_complete(waiting)
            except (SystemExit, KeyboardInterrupt) as caught:
                print(repr(caught), caught is error, task.done(), waiting.done())
            try:
                loop.run_until_complete(waiting)
            except BaseException as caught:
                print(repr(caught), waiting.done())
            print(repr(task.exception()), asyncio.current_task(loop))
        loop.close()
    """,
    "SystemExit ends the program": """
        async def main():
            asyncio.get_running_loop().call_soon(sys.exit, 0)
            try:
                await asyncio.sleep(1000)
            finally:
                print("cleaned up")
        run(main())
    """,
    "stopped before the end": """
        loop = new_event_loop()
        async def main():
            await asyncio.sleep(1000)
        task = loop.create_task(main())
        loop.call_soon(loop.stop)
        try:
            loop.run_until_complete(task)
        except RuntimeError as error:
            print(error)
        task.cancel()
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            print("cancelled")
        loop.close()
    """,
    "a future of another loop": """
        loop, another = new_event_loop(), new_event_loop()
        future = another.create_future()
        try:
            loop.run_until_complete(future)
        except (ValueError, RuntimeError) as error:
            print(type(error).__name__, str(error)[:48])
        future.cancel()
        loop.close()
        another.close()
    """,
    "call_soon from another thread in debug mode": """
        loop = new_event_loop()
        loop.set_debug(True)
        def wrong():
            for method, arguments in ((loop.call_soon, ()), (loop.call_later, (1,)), (loop.call_at, (1,))):
                try:
                    method(*arguments, print)
                except RuntimeError as error:
                    print(error)
            loop.call_soon_threadsafe(loop.stop)
        thread = threading.Thread(target=wrong)
        loop.call_soon(thread.start)
        loop.run_forever()
        thread.join()
        loop.close()
    """,
    "debug mode's look at callbacks": """
        loop = new_event_loop()
        loop.set_debug(True)
        async def function():
            pass
        coroutine = function()
        for callback in (function, coroutine, 1, None):
            for method, arguments in (
                (loop.call_soon, ()), (loop.call_soon_threadsafe, ()), (loop.call_later, (1,)), (loop.call_at, (1,))
            ):
                try:
                    method(*arguments, callback)
                except TypeError as error:
                    print(str(error)[:40])
        coroutine.close()
        loop.close()
    """,
    "results twice": """
        loop = new_event_loop()
        future = loop.create_future()
        for read in (future.result, future.exception):
            try:
                read()
            except asyncio.InvalidStateError as error:
                print(error)
        future.set_result(1)
        for write in (lambda: future.set_result(2), lambda: future.set_exception(ValueError())):
            try:
                write()
            except asyncio.InvalidStateError:
                print("InvalidStateError")
        print(future.cancel(), future.result())
        other = loop.create_future()
        for wrong in (1, object, None, "text"):
            try:
                other.set_exception(wrong)
            except TypeError as error:
                print(error)
        other.set_exception(ValueError)
        print(repr(other.exception()))
        third = loop.create_future()
        try:
            third.set_exception(StopIteration)
            print(repr(third.exception()), repr(third.exception().__cause__))
        except TypeError as error:
            print(error)
        loop.close()
    """,
    "a callback that raises": """
        loop = new_event_loop()
        loop.set_exception_handler(lambda _, report: print(report["message"][:21], repr(report["exception"])))
        def fail():
            raise ValueError("failed")
        class Strange(BaseException):
            pass
        def strange():
            raise Strange("strange")
        loop.call_soon(fail)
        loop.call_later(0, fail)
        loop.call_soon(strange)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        def broken(loop, report):
            raise LookupError("the handler fails too")
        loop.set_exception_handler(broken)
        import logging
        logging.disable()
        loop.call_soon(fail)
        loop.call_soon(loop.stop)
        loop.run_forever()
        def leaving(loop, report):
            raise SystemExit(5)
        loop.set_exception_handler(leaving)
        loop.call_soon(fail)
        try:
            loop.run_forever()
        except SystemExit as error:
            print(repr(error))
        loop.close()
    """,
    "a coroutine that raises what is no Exception": """
        class Strange(BaseException):
            pass
        async def fail():
            raise Strange("strange")
        async def main():
            task = asyncio.create_task(fail())
            await asyncio.wait([task])
            print(repr(task.exception()))
            try:
                await task
            except Strange as error:
                print(repr(error))
        run(main())
    """,
    "a coroutine awaited twice": """
        async def nothing():
            await asyncio.sleep(0)
        async def main():
            coroutine = nothing()
            await coroutine
            for use in (lambda: asyncio.create_task(coroutine),):
                task = use()
                await asyncio.wait([task])
                print(repr(task.exception()))
            coroutine = nothing()
            one, two = asyncio.create_task(coroutine), asyncio.create_task(coroutine)
            await asyncio.wait([one, two])
            print(sorted(repr(task.exception()) for task in (one, two)))
        run(main())
    """,
    "a coroutine closed under its task": """
        async def forever():
            await asyncio.sleep(1000)
        async def main():
            coroutine = forever()
            task = asyncio.create_task(coroutine)
            await asyncio.sleep(0)
            coroutine.close()
            task.cancel()
            await asyncio.wait([task])
            print(task.cancelled() or repr(task.exception()))
            future = asyncio.get_running_loop().create_future()
            async def wait():
                await future
            coroutine = wait()
            task = asyncio.create_task(coroutine)
            await asyncio.sleep(0)
            try:
                coroutine.send(None)
            except RuntimeError as error:
                print(error)
            future.cancel()
            await asyncio.wait([task])
            print(task.cancelled() or repr(task.exception()))
        run(main())
    """,
    "a task made in a context that cannot be entered": """
        import contextvars
        async def nothing():
            pass
        async def main():
            loop = asyncio.get_running_loop()
            reports = []
            loop.call_exception_handler = lambda report: reports.append(repr(report["exception"])[:35])
            entered = asyncio.current_task().get_context() if sys.version_info >= (3, 12) else None
            for wrong in (1, "context"):
                try:
                    loop.call_soon(print, context=wrong)
                except Exception as error:
                    print(type(error).__name__)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            print(reports)
        run(main())
    """,
    "out of descriptors": """
        import resource, errno
        sys.unraisablehook = lambda _: None  # asyncio's half-made loop cannot be closed by its destructor
        new_event_loop().close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        loops = []
        try:
            while True:
                loops.append(new_event_loop())
        except OSError as error:
            print(type(error).__name__, error.errno == errno.EMFILE)
        for loop in loops:
            loop.close()
        gc.collect()
        new_event_loop().close()
    """,
    "an interpreter that ends with tasks pending": """
        loop = new_event_loop()
        async def wait(awaited):
            try:
                await awaited
            finally:
                pass
        tasks = [loop.create_task(wait(loop.create_future())) for _ in range(10)]
        for task in tasks:
            task._log_destroy_pending = False
        loop.call_soon(loop.stop)
        loop.run_forever()
        kept = loop.create_future()
        loop.call_later(1000, print)
        loop.close()
        print("leaving")
    """,
}


def told(kind: str, case: str) -> list[str]:
    options = ["-W", "ignore::RuntimeWarning"]
    lines = output(kind, CASES[case], *options)
    return [re.sub(r"0x[0-9a-f]+|Task-\d+|\(native\)", "…", line) for line in lines]


@pytest.mark.parametrize("case", list(CASES))
def test_same_answer_as_asyncio(case: str) -> None:
    expected, got = told("asyncio", case), told("riata", case)
    assert expected, "the case proves nothing"
    assert got == expected


def test_stop_iteration_from_an_executor() -> None:
    # asyncio on 3.11 and 3.12 waits for ever; from 3.13 on, and on riata, it is a RuntimeError.
    case = """
        def stop():
            raise StopIteration("stop")
        async def main():
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(None, stop)
            except RuntimeError as error:
                print(repr(error)[:40], repr(error.__cause__))
        run(main())
    """
    expected = ["RuntimeError('StopIteration interacts ba StopIteration('stop')"]
    assert output("riata", case) == expected
    if sys.version_info >= (3, 13):
        assert output("asyncio", case) == expected


def test_a_second_loop_in_a_running_one() -> None:
    # Alone: asyncio's run_forever of 3.13.0 takes the running loop away when it refuses, and hangs.
    program = """
        async def main():
            loop = asyncio.get_running_loop()
            another = new_event_loop()
            for run in (loop.run_forever, another.run_forever):
                try:
                    run()
                except RuntimeError as error:
                    print(error)
            coroutine = asyncio.sleep(0)
            try:
                another.run_until_complete(coroutine)
            except RuntimeError as error:
                print(error)
            coroutine.close()
            coroutine = asyncio.sleep(0)
            try:
                asyncio.run(coroutine)
            except RuntimeError as error:
                print(error)
            coroutine.close()
            gc.collect()
            asyncio.get_running_loop()
            for task in asyncio.all_tasks(another):
                task.cancel()
            another.close()
        run(main())
    """
    assert output("riata", program) == [
        "This event loop is already running",
        "Cannot run the event loop while another loop is running",
        "Cannot run the event loop while another loop is running",
        "asyncio.run() cannot be called from a running event loop",
    ]
