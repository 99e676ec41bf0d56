"""`riata.install` and `riata.uninstall`, each in a process of its own."""

import subprocess
import sys
import textwrap


def python(*arguments: str) -> str:
    run = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def program(text: str) -> str:
    return python("-W", "error", "-c", textwrap.dedent(text))


CHECK = """
    import asyncio
    import asyncio.tasks
    import riata
    from riata._install import PRIMITIVES
    import sys

    def state():
        return {(m, n): getattr(sys.modules[m], n, None) for m, n in PRIMITIVES}

    def public():
        return {n: getattr(asyncio, n, None) for _, n in PRIMITIVES}

    before = state(), public()
"""


def test_everything_is_replaced_and_put_back() -> None:
    program(
        CHECK
        + """
    riata.install()
    riata.install()
    for (m, n), value in state().items():
        assert value is getattr(riata, n) is getattr(asyncio, n), n
    assert asyncio.run(asyncio.sleep(0, "x")) == "x"
    loop = asyncio.new_event_loop()
    assert isinstance(loop, riata.Loop)
    loop.close()
    riata.uninstall()
    riata.uninstall()
    assert (state(), public()) == before
    loop = asyncio.new_event_loop()
    assert not isinstance(loop, riata.Loop)
    loop.close()
    riata.install()
    assert asyncio.sleep is riata.sleep
    """
    )


def test_the_loop_alone() -> None:
    program(
        CHECK
        + """
    riata.install(primitives=False)
    assert (state(), public()) == before
    loop = asyncio.new_event_loop()
    assert isinstance(loop, riata.Loop)
    loop.close()
    riata.uninstall()
    loop = asyncio.new_event_loop()
    assert not isinstance(loop, riata.Loop)
    loop.close()
    """
    )


def test_names_copied_before_and_after_mix() -> None:
    program(
        """
    import asyncio
    from asyncio import gather, sleep, shield, create_task, wait_for
    import riata

    riata.install()
    assert asyncio.gather is not gather

    async def main():
        assert await gather(asyncio.sleep(0, 1), sleep(0, 2), asyncio.gather(sleep(0, 3))) == [1, 2, [3]]
        assert await asyncio.gather(sleep(0, 1), gather(asyncio.sleep(0, 2))) == [1, [2]]
        assert await asyncio.shield(gather(sleep(0.001, 1))) == [1]
        assert await shield(asyncio.gather(sleep(0.001, 1))) == [1]
        assert await wait_for(asyncio.sleep(0, 4), 1) == 4
        assert await create_task(asyncio.sleep(0, 5)) == 5

    asyncio.run(main())
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    """
    )


def test_a_program_that_sets_a_policy_of_its_own_keeps_it() -> None:
    program(
        """
    import asyncio, sys, warnings
    import riata

    warnings.simplefilter("ignore")
    if hasattr(asyncio, "set_event_loop_policy"):
        riata.install()
        mine = asyncio.DefaultEventLoopPolicy()
        asyncio.set_event_loop_policy(mine)
        riata.uninstall()
        assert asyncio.get_event_loop_policy() is mine
    """
    )


SHOW = "import asyncio; print(type(asyncio.gather).__name__, type(asyncio.new_event_loop()).__module__)"


def test_riata_run_installs_all() -> None:
    assert python("-m", "riata", "run", "-c", SHOW).split() == ["builtin_function_or_method", "riata._loop"]


def test_riata_run_may_install_the_loop_alone() -> None:
    shown = python("-m", "riata", "run", "--no-primitives", "-X", "dev", "-c", SHOW)
    assert shown.split() == ["function", "riata._loop"]


def test_locks_and_queues_of_both_kinds_are_the_same_to_isinstance() -> None:
    program(
        """
    import asyncio
    from asyncio import Lock, Queue, BoundedSemaphore
    import riata

    class Mine(Queue):
        pass

    before = Lock(), Queue(), BoundedSemaphore(), Mine()
    old = asyncio.Lock, asyncio.Queue, asyncio.Semaphore, asyncio.Queue
    riata.install()
    assert asyncio.Lock is riata.Lock
    new = asyncio.Lock, asyncio.Queue, asyncio.Semaphore, asyncio.Queue
    after = asyncio.Lock(), asyncio.Queue(), asyncio.BoundedSemaphore(), asyncio.PriorityQueue()
    for objects in before, after:
        for classes in old, new:
            for object, cls in zip(objects, classes):
                assert isinstance(object, cls), (object, cls)
    assert not isinstance(before[0], asyncio.Queue)
    assert type(before[3]) is Mine and isinstance(before[3], Mine) and before[3].__class__ == Mine
    riata.uninstall()
    assert type(before[1]) is before[1].__class__ is Queue is asyncio.Queue
    assert isinstance(after[1], asyncio.Queue)
    """
    )
