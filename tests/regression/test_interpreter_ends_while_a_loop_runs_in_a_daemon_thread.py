"""A loop that was busy in a daemon thread when the interpreter ended aborted the process.

CPython before 3.14 ends such a thread by pthread_exit the next time it asks for the GIL; that unwinds through our
frames. asyncio's program ends with status 0. Since polls give the GIL away, a thread that turns asks for it there,
where PyO3 parks it; one that computes in a callback asks in the interpreter's own
code, above our frames, and a guard among those keeps it there.
"""

import pytest

from ..integration.processes import output

BUSY = {
    "idle": "pass",
    "callbacks": """
def tick():
    loop.call_soon(tick)
loop.call_soon(tick)
""",
    "timers": """
def tick():
    loop.call_later(0, tick)
loop.call_soon(tick)
""",
    "tasks": """
async def spin():
    while True:
        await asyncio.sleep(0)
task = loop.create_task(spin())
""",
    "computing": """
def compute():
    ready.set()
    while True:
        pass
loop.call_soon(compute)
""",
}


@pytest.mark.parametrize("kind", ["asyncio", "riata"])
@pytest.mark.parametrize("busy", list(BUSY))
def test_the_program_ends_well(busy: str, kind: str) -> None:
    program = f"""
loop = new_event_loop()
ready = threading.Event()
{BUSY[busy]}
loop.call_soon(ready.set)
threading.Thread(target=loop.run_forever, daemon=True).start()
ready.wait()
print("leaving")
"""
    assert output(kind, program) == ["leaving"]
