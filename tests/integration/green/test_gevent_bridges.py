"""Coroutines wait for greenlets, greenlets for coroutines: each case is a program of its own."""

import pytest

pytest.importorskip("gevent")

from tests.integration.green.programs import passes


def test_awaiting_a_greenlet() -> None:
    passes(
        """
        def gives():
            gevent.sleep(0.001)
            return 1
        def fails():
            gevent.sleep(0.001)
            1 / 0
        gevent.get_hub().print_exception = lambda *_: None
        async def main():
            assert await riata.gevent.wait(gevent.spawn(gives)) == 1
            try:
                await riata.gevent.wait(gevent.spawn(fails))
            except ZeroDivisionError as error:
                names = []
                traceback = error.__traceback__
                while traceback:
                    names.append(traceback.tb_frame.f_code.co_name)
                    traceback = traceback.tb_next
                assert names[-1] == "fails", names
            else:
                raise AssertionError
            event = gevent.event.Event()
            gevent.spawn_later(0.001, event.set)
            assert await riata.gevent.wait(event) is event
            ended = gevent.spawn(gives)
            ended.join()
            assert await riata.gevent.wait(ended) == 1
        asyncio.run(main())
        asyncio.run(main())
        """
    )


def test_cancelling_who_awaits_a_greenlet_kills_it() -> None:
    passes(
        """
        gevent.get_hub()
        async def main():
            greenlet = gevent.spawn(gevent.sleep, 100)
            task = asyncio.create_task(riata.gevent.wait(greenlet))
            await asyncio.sleep(0.001)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            else:
                raise AssertionError
            greenlet.join(10)
            assert isinstance(greenlet.value, gevent.GreenletExit)
            try:
                async with asyncio.timeout(0.001):
                    await riata.gevent.wait(other := gevent.spawn(gevent.sleep, 100))
            except TimeoutError:
                other.join(10)
                assert other.dead
        asyncio.run(main())
        """
    )


def test_waiting_for_a_coroutine_in_a_greenlet() -> None:
    passes(
        """
        async def gives():
            await asyncio.sleep(0.001)
            return 1
        async def fails():
            await asyncio.sleep(0)
            1 / 0
        def waits():
            assert riata.gevent.run(gives()) == 1
            try:
                riata.gevent.run(fails())
            except ZeroDivisionError as error:
                assert error.__traceback__.tb_next
            else:
                raise AssertionError
            return True
        assert waits()  # on a loop of its own
        async def main():
            assert waits()  # in a coroutine
            assert await riata.gevent.wait(gevent.spawn(waits))  # in a greenlet, on this loop
        asyncio.run(main())
        """
    )


def test_killing_who_waits_for_a_coroutine_cancels_it() -> None:
    passes(
        """
        async def main():
            cancelled = asyncio.Event()
            async def long():
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    cancelled.set()
                    raise
            greenlet = gevent.spawn(riata.gevent.run, long())
            await asyncio.sleep(0.001)
            greenlet.kill(block=False)
            await asyncio.wait_for(cancelled.wait(), 10)
        asyncio.run(main())
        """
    )


def test_killing_and_timing_out_who_runs_a_loop() -> None:
    passes(
        """
        ended = []
        async def main():
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(1)
        greenlet = gevent.spawn(asyncio.run, main())
        gevent.sleep(0.01)
        greenlet.kill()
        assert ended == [1]
        with gevent.Timeout(0.01, False):
            asyncio.run(main())
        assert ended == [1, 1]
        """
    )


def test_an_asyncio_lock_between_greenlets_and_tasks() -> None:
    passes(
        """
        async def main():
            lock, order = asyncio.Lock(), []
            def greenlet(name):
                riata.gevent.run(lock.acquire())
                order.append(name)
                gevent.sleep(0.001)
                order.append(name)
                lock.release()
            async def task(name):
                async with lock:
                    order.append(name)
                    await asyncio.sleep(0.001)
                    order.append(name)
            await asyncio.gather(
                task("a"), riata.gevent.wait(gevent.spawn(greenlet, "b")),
                task("c"), riata.gevent.wait(gevent.spawn(greenlet, "d")),
            )
            assert sorted(order) == list("aabbccdd") and order[::2] == order[1::2], order
        asyncio.run(main())
        """
    )


def test_greenlets_and_tasks_exchange_messages_through_one_queue() -> None:
    passes(
        """
        COUNT = 1000
        async def main():
            queue, got = gevent.queue.Queue(), []
            async def gives(number):
                await asyncio.sleep(0)
                queue.put(number)
            def takes():
                got.append(queue.get())
            async def takes_too():
                got.append(queue.get())
            greenlets = [gevent.spawn(takes) for _ in range(COUNT)]
            tasks = [asyncio.create_task(takes_too()) for _ in range(COUNT // 10)]
            await asyncio.gather(*map(gives, range(COUNT + COUNT // 10)))
            await asyncio.gather(*tasks)
            gevent.joinall(greenlets)
            assert sorted(got) == list(range(COUNT + COUNT // 10))
        asyncio.run(main())
        """
    )
