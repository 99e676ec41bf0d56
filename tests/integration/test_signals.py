"""Signals: handlers of the loop, Python's own, Ctrl-C; each program in a process of its own.

Every program sends itself its signals, once it is known to wait or to be busy: nothing depends on when.
"""

import signal

import pytest

from .processes import output, run_program

both = pytest.mark.parametrize("kind", ["asyncio", "riata"])

# When the other thread gets the GIL, the loop has given it away: it polls, or is about to.
KILL_WHEN_IDLE = """
def kill_when_idle(loop, number):
    def kill():
        time.sleep(0.05)  # only so that the poll is likely to have begun; the outcome does not depend on it
        os.kill(os.getpid(), number)
    threading.Thread(target=kill).start()
"""


@both
def test_handlers_while_idle_and_while_busy(kind: str) -> None:
    lines = output(
        kind,
        KILL_WHEN_IDLE
        + """
async def main():
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    def handle(*args):
        print("handled", *args, asyncio.current_task())
        came.set()
    loop.add_signal_handler(signal.SIGUSR1, handle, 1, "two")
    kill_when_idle(loop, signal.SIGUSR1)
    await came.wait()
    came.clear()
    os.kill(os.getpid(), signal.SIGUSR1)
    turns = 0
    while not came.is_set():
        await asyncio.sleep(0)
        turns += 1
    print(turns < 1000)
    print(loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1))
    print(signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL)

run(main())
""",
    )
    assert lines == ["handled 1 two None", "handled 1 two None", "True", "True False", "True"]


@both
def test_many_signals_are_handled(kind: str) -> None:
    lines = output(
        kind,
        """
async def main():
    loop = asyncio.get_running_loop()
    got = []
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, got.append, number)
    loop.add_signal_handler(signal.SIGHUP, got.append, "replaced")
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    while len(got) < 4:
        await asyncio.sleep(0)
    print(sorted(map(str, got)) == sorted(map(str, [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, "replaced"])))

run(main())
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
""",
    )
    assert lines == ["True", "True"]


@both
def test_what_cannot_be_a_handler(kind: str) -> None:
    lines = output(
        kind,
        """
loop = new_event_loop()
async def coroutine():
    pass
def elsewhere():
    try:
        loop.add_signal_handler(signal.SIGUSR1, print)
    except (RuntimeError, ValueError) as error:
        print(type(error).__name__)
for number, callback in ((signal.SIGUSR1, coroutine), (999, print), ("x", print), (signal.SIGKILL, print), (0, print)):
    try:
        loop.add_signal_handler(number, callback)
    except Exception as error:
        print(type(error).__name__, error)
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
loop.close()
""",
    )
    assert lines[:1] == ["TypeError coroutines cannot be used with add_signal_handler()"]
    assert [line.split()[0] for line in lines[1:]] == [
        "ValueError",
        "TypeError",
        "RuntimeError",
        "ValueError",
        "RuntimeError",
    ]


@both
def test_the_wakeup_descriptor_is_left_as_found(kind: str) -> None:
    lines = output(
        kind,
        """
import socket
ours, theirs = socket.socketpair()
theirs.setblocking(False)
signal.set_wakeup_fd(theirs.fileno())
loop = new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
print(signal.set_wakeup_fd(theirs.fileno()) == theirs.fileno())
loop.add_signal_handler(signal.SIGUSR1, print)
loop.run_until_complete(asyncio.sleep(0))
loop.remove_signal_handler(signal.SIGUSR1)
signal.set_wakeup_fd(theirs.fileno())
loop.run_until_complete(asyncio.sleep(0))
loop.close()
print(signal.set_wakeup_fd(-1) in (theirs.fileno(), -1))
""",
    )
    assert lines == ["True", "True"]


@both
def test_a_forgotten_loop_with_handlers_that_is_collected_while_another_runs(kind: str) -> None:
    """Another loop's descriptor was what it had found, and was gone when it was to be put back."""
    lines = output(
        kind,
        """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
forgotten = new_event_loop()
forgotten.add_signal_handler(signal.SIGUSR1, print)
forgotten.run_until_complete(asyncio.sleep(0))

async def main():
    global forgotten
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    if KIND == "riata":  # asyncio's own loses its descriptor to the other's end
        loop.add_signal_handler(signal.SIGUSR2, told.set)
    del forgotten
    gc.collect()
    if KIND == "riata":
        signal.raise_signal(signal.SIGUSR2)
        await told.wait()
    return "ended"

print(run(main()), signal.set_wakeup_fd(-1))
""",
    )
    assert lines == ["ended -1"]


@both
@pytest.mark.parametrize("busy", [False, True])
def test_pythons_own_handlers_run_while_the_loop_does(kind: str, busy: bool) -> None:
    lines = output(
        kind,
        KILL_WHEN_IDLE
        + f"""
async def main():
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    signal.signal(signal.SIGUSR1, lambda *_: (print("handled"), loop.call_soon_threadsafe(came.set)))
    if {busy}:
        os.kill(os.getpid(), signal.SIGUSR1)
        while not came.is_set():
            await asyncio.sleep(0)
    else:
        kill_when_idle(loop, signal.SIGUSR1)
        await came.wait()

run(main())
""",
    )
    assert lines == ["handled"]


@both
@pytest.mark.parametrize("busy", [False, True])
def test_runner_turns_ctrl_c_into_cancellation(kind: str, busy: bool) -> None:
    lines = output(
        kind,
        KILL_WHEN_IDLE
        + f"""
async def main():
    try:
        if {busy}:
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                await asyncio.sleep(0)
        kill_when_idle(asyncio.get_running_loop(), signal.SIGINT)
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("cancelled")
        raise
    finally:
        print("cleaned up")

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
""",
    )
    assert lines == ["cancelled", "cleaned up", "KeyboardInterrupt", "True"]


@both
def test_a_second_ctrl_c_ends_a_stubborn_program(kind: str) -> None:
    lines = output(
        kind,
        """
async def main():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        print("not yet")
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10**7):
            pass
        await asyncio.sleep(1000)

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
    )
    assert lines == ["not yet", "KeyboardInterrupt"]


@both
@pytest.mark.parametrize("where", ["idle", "callback", "task"])
def test_ctrl_c_without_a_runner(kind: str, where: str) -> None:
    lines = output(
        kind,
        KILL_WHEN_IDLE
        + f"""
where = {where!r}
loop = new_event_loop()
def callback():
    signal.raise_signal(signal.SIGINT)
async def task():
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGINT)
kept = None
if where == "idle":
    kill_when_idle(loop, signal.SIGINT)
elif where == "callback":
    loop.call_soon(callback)
else:
    kept = loop.create_task(task())
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("KeyboardInterrupt", loop.is_running(), asyncio._get_running_loop(), asyncio.current_task(loop))
if kept:
    print(repr(kept.exception()))
order = []
loop.call_soon(order.append, "still works")
loop.call_soon(loop.stop)
loop.run_forever()
print(order)
loop.close()
""",
    )
    assert lines[0] == "KeyboardInterrupt False None None"
    assert lines[-1] == "['still works']"
    assert (where == "task") == ("KeyboardInterrupt()" in lines)


@both
def test_an_unhandled_ctrl_c_ends_the_program_as_python_does(kind: str) -> None:
    ended = run_program(
        kind, "async def main():\n    os.kill(os.getpid(), signal.SIGINT)\n    await asyncio.sleep(1000)\nrun(main())\n"
    )
    assert ended.status == -signal.SIGINT
    assert ended.stderr.endswith("KeyboardInterrupt\n")


@both
def test_a_loop_in_a_thread_leaves_signals_alone(kind: str) -> None:
    lines = output(
        kind,
        """
loop = new_event_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()
print(signal.set_wakeup_fd(-1))
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
""",
    )
    assert lines == ["-1", "handled"]


@both
def test_ctrl_c_before_and_after_running(kind: str) -> None:
    lines = output(
        kind,
        """
loop = new_event_loop()
order = []

def interrupted(body):
    try:
        body()
    except KeyboardInterrupt:
        order.append("KeyboardInterrupt")

async def main():
    await asyncio.sleep(0)
    order.append("ran")

interrupted(lambda: signal.raise_signal(signal.SIGINT))
loop.run_until_complete(main())
interrupted(lambda: signal.raise_signal(signal.SIGINT))
loop.run_until_complete(main())
loop.close()
interrupted(lambda: signal.raise_signal(signal.SIGINT))
print(order, signal.set_wakeup_fd(-1))
""",
    )
    assert lines == ["['KeyboardInterrupt', 'ran', 'KeyboardInterrupt', 'ran', 'KeyboardInterrupt'] -1"]


@both
def test_ctrl_c_while_the_executor_is_shut_down(kind: str) -> None:
    lines = output(
        kind,
        """
ended = threading.Event()

def work(loop):
    while not loop._executor_shutdown_called:
        time.sleep(0.001)
    # By the loop, and so while the coroutine waits: one that is interrupted a moment before joins its thread for ever.
    loop.call_soon_threadsafe(os.kill, os.getpid(), signal.SIGINT)
    ended.wait()

async def main():
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, work, loop)
    return loop

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt", asyncio._get_running_loop(), signal.set_wakeup_fd(-1))
ended.set()
""",
        "-W",
        "ignore::RuntimeWarning",  # the coroutine that shuts down is dropped
    )
    assert lines == ["KeyboardInterrupt None -1"]


@both
@pytest.mark.parametrize("where", ["stream", "read pipe", "timer", "threadsafe", "done callback", "child", "handler"])
def test_ctrl_c_in_whatever_the_loop_calls(kind: str, where: str) -> None:
    lines = output(
        kind,
        f"""
import socket
where = {where!r}
loop = new_event_loop()
calls, things = [], []

def interrupt(*args):
    calls.append(len(args))
    if len(calls) == 1:
        signal.raise_signal(signal.SIGINT)

class Protocol(asyncio.Protocol):
    data_received = lambda self, data: interrupt(data)

class ChildProtocol(asyncio.SubprocessProtocol):
    process_exited = lambda self: interrupt()

async def prepare():
    if where == "stream":
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Protocol, sock=ours)
        things.extend([transport, theirs])
        theirs.send(b"x")
    if where == "read pipe":
        reader, writer = os.pipe()
        transport, _ = await loop.connect_read_pipe(Protocol, open(reader, "rb", 0))
        things.extend([transport, open(writer, "wb", 0)])
        os.write(writer, b"x")
    if where == "timer":
        loop.call_later(0.001, interrupt)
    elif where == "threadsafe":
        threading.Thread(target=loop.call_soon_threadsafe, args=(interrupt,)).start()
    elif where == "done callback":
        future = loop.create_future()
        future.add_done_callback(interrupt)
        future.set_result(None)
    elif where == "child":
        transport, _ = await loop.subprocess_exec(ChildProtocol, "/bin/true", stdin=None, stdout=None, stderr=None)
        things.append(transport)
    else:
        loop.add_signal_handler(signal.SIGUSR1, interrupt)
        os.kill(os.getpid(), signal.SIGUSR1)

try:
    loop.run_until_complete(prepare())
    while True:
        loop.run_until_complete(asyncio.sleep(0.01))
except KeyboardInterrupt:
    print("KeyboardInterrupt", loop.is_running(), asyncio._get_running_loop(), len(calls))
# What stops the loop for `prepare` may be in the queue still.
loop.call_soon(loop.stop)
loop.run_forever()
loop.remove_signal_handler(signal.SIGUSR1)
for thing in things:
    thing.close()
loop.run_until_complete(asyncio.sleep(0.01))
print(signal.set_wakeup_fd(-1))
for task in asyncio.all_tasks(loop):
    task.cancel()
loop.run_until_complete(asyncio.sleep(0))
loop.close()
""",
        "-W",
        "ignore::DeprecationWarning",
    )
    assert lines == ["KeyboardInterrupt False None 1", "-1"]


@both
def test_the_signal_of_children_can_be_handled_beside_them(kind: str) -> None:
    lines = output(
        kind,
        """
async def main():
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGCHLD, came.set)
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 3")
    print(await process.wait())
    await came.wait()
    print(loop.remove_signal_handler(signal.SIGCHLD))

run(main())
""",
    )
    assert lines == ["3", "True"]
