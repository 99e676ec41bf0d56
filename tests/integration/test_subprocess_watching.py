"""How the end of a child is noticed: in every state of the process, each program in a process of its own."""

import signal
import sys

import pytest

from .processes import output

both = pytest.mark.parametrize("kind", ["asyncio", "riata"])
QUIET = ("-W", "ignore::DeprecationWarning")  # watchers are deprecated since 3.12, where this Python has them
watchers = pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 has no child watchers")

FORBID_PIDFDS = """
import ctypes

def forbid(number, errno):
    # What a sandbox does: the system call fails, for this thread and those that it begins.
    libc = ctypes.CDLL(None, use_errno=True)
    class Filter(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(Filter))]
    steps = (Filter * 4)((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno), (0x06, 0, 0, 0x7FFF0000))
    program = Program(4, steps)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()

forbid(434, 1)  # pidfd_open: EPERM
try:
    os.pidfd_open(os.getpid())
except PermissionError:
    pass
else:
    raise AssertionError
"""

CHILDREN = """
async def child(code):
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {code}")
    return await process.wait()

async def children():
    codes = await asyncio.gather(*(child(code % 200) for code in range(COUNT)))
    return codes == [code % 200 for code in range(COUNT)]
"""


@both
def test_without_pidfds(kind: str) -> None:
    program = (
        FORBID_PIDFDS
        + "COUNT = 50"
        + CHILDREN
        + """
async def main():
    print(await children())
    process = await asyncio.create_subprocess_exec("cat", stdin=-1)
    other = await asyncio.create_subprocess_exec("cat", stdin=-1)
    process.terminate()
    print(await process.wait())
    other.kill()
    print(await other.wait())
    try:
        other.kill()
    except ProcessLookupError:  # which asyncio's own may keep to itself from late 3.14 on
        pass
    print("finished")

run(main())
results = []
others = [threading.Thread(target=lambda: results.append(run(children()))) for _ in range(3)]
for thread in others:
    thread.start()
for thread in others:
    thread.join()
print(results)
"""
    )
    lines = output(kind, program, *QUIET)
    assert lines == ["True", "-15", "-9", "finished", "[True, True, True]"]


@pytest.mark.parametrize("forbidden", ["", FORBID_PIDFDS], ids=["pidfds", "without pidfds"])
def test_a_child_keeps_its_number_until_its_end_is_told(forbidden: str) -> None:
    """Only the loop's thread reaps, so a signal can never reach whoever has the number next (CPython gh-127049)."""
    lines = output(
        "riata",
        forbidden
        + """
async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1)
    process.kill()
    for _ in range(200):  # whoever waits for it has every chance
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.sched_yield()
    print(process.returncode)
    process.kill()
    print(await process.wait())

run(main())
""",
        *QUIET,
    )
    assert lines == ["None", "-9"]


def test_without_pidfds_a_loop_that_is_closed_leaves_no_zombie() -> None:
    program = (
        FORBID_PIDFDS
        + """
def wait_until_reaped(pid):
    try:
        while True:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            os.sched_yield()
    except ChildProcessError:
        pass

async def begin():
    return await loop.subprocess_exec(asyncio.SubprocessProtocol, "cat", stdout=None, stderr=None)

loop = new_event_loop()
ended, _ = loop.run_until_complete(begin())
running, _ = loop.run_until_complete(begin())
ended.kill()
os.waitid(os.P_PID, ended.get_pid(), os.WEXITED | os.WNOWAIT)
print(ended.get_returncode(), running.get_returncode())
loop.close()
wait_until_reaped(ended.get_pid())
running.kill()
wait_until_reaped(running.get_pid())
running.kill()  # whose number may be another's by now
print("reaped")
ended.close()
running.close()
"""
    )
    assert output("riata", program) == ["None None", "reaped"]


def test_without_pidfds_a_loop_that_does_not_run_holds_up_no_other() -> None:
    program = (
        FORBID_PIDFDS
        + "COUNT = 5"
        + CHILDREN
        + """
async def begin():
    return await asyncio.create_subprocess_exec("cat", stdin=-1)

idle = new_event_loop()
process = idle.run_until_complete(begin())
process.kill()
os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
print(run(children()))
print(idle.run_until_complete(process.wait()))
idle.close()
"""
    )
    assert output("riata", program) == ["True", "-9"]


def test_without_pidfds_one_thread_waits_for_all() -> None:
    # asyncio has a thread for each child there: riata alone.
    program = (
        FORBID_PIDFDS
        + """
def threads():
    return sorted(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task"))

async def main():
    print(threads() == [threads()[0]])
    processes = [await asyncio.create_subprocess_exec("cat", stdin=-1) for _ in range(20)]
    print([name for name in threads() if name.startswith("riata")])
    for process in processes:
        process.stdin.close()
        print(await process.wait(), end=" ")

for _ in range(2):
    run(main())
    print([name for name in threads() if name.startswith("riata")])
"""
    )
    lines = output("riata", program)
    codes = "0 " * 20
    assert lines == [
        "True",
        "['riata_children']",
        codes + "['riata_children']",
        "False",
        "['riata_children']",
        codes + "['riata_children']",
    ]


def test_without_pidfds_a_forked_child_has_a_thread_of_its_own() -> None:
    program = (
        FORBID_PIDFDS
        + "COUNT = 5"
        + CHILDREN
        + """
print(run(children()), flush=True)
process = os.fork()
if not process:
    status = 1
    try:
        assert run(children())
        status = 0
    finally:
        os._exit(status)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
print(run(children()))
"""
    )
    assert output("riata", program, *QUIET) == ["True", "0", "True"]


def test_without_pidfds_a_stranger_that_nobody_reaps() -> None:
    program = (
        FORBID_PIDFDS
        + "COUNT = 20"
        + CHILDREN
        + """
import subprocess

async def main():
    strangers = [subprocess.Popen(["/bin/true"]) for _ in range(3)]
    for stranger in strangers:
        os.waitid(os.P_PID, stranger.pid, os.WEXITED | os.WNOWAIT)
    long = await asyncio.create_subprocess_exec("cat", stdin=-1)
    print(await children())
    long.stdin.close()
    print(await long.wait())
    print([stranger.wait() for stranger in strangers])
    print(await children())

run(main())
"""
    )
    assert output("riata", program) == ["True", "0", "[0, 0, 0]", "True"]


@both
def test_others_children_are_left_alone(kind: str) -> None:
    lines = output(
        kind,
        "COUNT = 20"
        + CHILDREN
        + """
import subprocess

async def main():
    strangers = [subprocess.Popen(["/bin/sh", "-c", f"exit {code}"]) for code in range(10)]
    print(await children())
    print([stranger.wait() for stranger in strangers])
    forked = os.fork()
    if not forked:
        os._exit(9)
    print(await children())
    print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))

run(main())
""",
        *QUIET,
    )
    assert lines == ["True", str(list(range(10))), "True", "9"]


def test_a_process_that_ignores_its_children() -> None:
    # Before 3.12 asyncio reports the same; from then on it raises ProcessLookupError, or not: riata alone.
    lines = output(
        "riata",
        """
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)

async def main():
    process = await asyncio.create_subprocess_exec("/bin/true")
    print(await process.wait())
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await process.communicate(b"works"))
    print(process.returncode)

run(main())
""",
    )
    assert [line for line in lines if "pid" not in line] == ["255", "(b'works', None)", "255"]
    assert sum("will report returncode 255" in line for line in lines) == 2


@both
def test_a_loop_in_a_thread_while_the_main_thread_is_busy(kind: str) -> None:
    lines = output(
        kind,
        "COUNT = 20"
        + CHILDREN
        + """
done = threading.Event()
results = []

def work():
    try:
        results.append(run(children()))
    finally:
        done.set()

thread = threading.Thread(target=work)
thread.start()
turns = 0
while not done.is_set():
    turns += 1
thread.join()
print(results)
""",
    )
    assert lines == ["[True]"]


@both
@watchers
@pytest.mark.parametrize("watcher", ["SafeChildWatcher", "FastChildWatcher", "MultiLoopChildWatcher"])
def test_a_watcher_that_the_program_chose_is_asked(kind: str, watcher: str) -> None:
    # One child at a time, which ends when it is let go: MultiLoopChildWatcher waits in the handler of SIGCHLD, which
    # may run while the same watcher looks at a child for the first time, and then loses that child's status.
    lines = output(
        kind,
        f"""
class Chosen(asyncio.{watcher}):
    def add_child_handler(self, pid, callback, *args):
        global asked
        asked += 1
        super().add_child_handler(pid, callback, *args)

asked = 0
watcher = Chosen()
asyncio.set_child_watcher(watcher)

async def child(code):
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"read line; exit {{code}}", stdin=-1)
    process.stdin.write(b"end\\n")
    return await process.wait()

async def main():
    watcher.attach_loop(asyncio.get_running_loop())
    result = [await child(code) for code in range(20)] == list(range(20))
    watcher.attach_loop(None)
    return result

print(run(main()), asked)
asyncio.set_child_watcher(None)
""",
        *QUIET,
    )
    assert lines == ["True 20"]


@watchers
def test_a_policy_that_knows_no_watchers() -> None:
    lines = output(
        "riata",
        "COUNT = 5"
        + CHILDREN
        + """
class Policy(asyncio.AbstractEventLoopPolicy):
    def get_event_loop(self):
        return None
    def set_event_loop(self, loop):
        pass

asyncio.set_event_loop_policy(Policy())
print(run(children()))
""",
        *QUIET,
    )
    assert lines == ["True"]


@watchers
def test_asking_for_no_watcher_makes_none() -> None:
    lines = output(
        "riata",
        "COUNT = 5"
        + CHILDREN
        + """
print(run(children()))
print(asyncio.get_event_loop_policy()._watcher)
asyncio.get_child_watcher()
print(run(children()))
""",
        *QUIET,
    )
    assert lines == ["True", "None", "True"]


@both
def test_ctrl_c_while_a_child_is_waited_for(kind: str) -> None:
    lines = output(
        kind,
        """
async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, start_new_session=True)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await process.wait()
    finally:
        process.kill()
        print("killed", await process.wait())

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
        *QUIET,
    )
    assert lines == [f"killed {-signal.SIGKILL}", "KeyboardInterrupt"]


@both
def test_children_keep_no_descriptor_of_the_loop(kind: str) -> None:
    lines = output(
        kind,
        """
async def main():
    script = "ls -l /proc/self/fd | grep -c -e eventpoll -e eventfd -e pidfd -e socket"
    processes = [await asyncio.create_subprocess_shell(script, stdout=-1, close_fds=False) for _ in range(3)]
    for process in processes:
        print((await process.communicate())[0])

run(main())
""",
        *QUIET,
    )
    assert lines == ["b'0\\n'"] * 3
