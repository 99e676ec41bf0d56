"""Ten thousand greenlets and as many tasks exchange messages: none is lost, and memory is back where it was."""

import pytest

pytest.importorskip("gevent")

from tests.integration.green.programs import passes

pytestmark = pytest.mark.stress


def test_greenlets_and_tasks_exchange_messages() -> None:
    # From the second batch to the fourth a leak of one greenlet or task each would be 10 MB at least; some arenas
    # of Python's (1 MiB each) may come or go.
    passes(
        """
        import resource

        COUNT = 10_000

        def resident():
            gc.collect()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()

        async def exchange():
            requests = gevent.queue.Queue()
            answers = asyncio.Queue()
            received = []

            async def task(number):
                await answers.put((requests.get(), number))

            def greenlet(number):
                requests.put(number)
                gevent.sleep(0)
                received.append(riata.gevent.run(answers.get()))

            tasks = [asyncio.create_task(task(number)) for number in range(COUNT)]
            await asyncio.sleep(0)
            greenlets = [gevent.spawn(greenlet, number) for number in range(COUNT)]
            await asyncio.gather(*tasks)
            for each in greenlets:
                await riata.gevent.wait(each)
            for numbers in zip(*received, strict=True):
                assert sorted(numbers) == list(range(COUNT))
            assert len(received) == COUNT
            assert requests.empty() and answers.empty()

        gevent.get_hub()
        sizes = []
        for batch in range(4):
            asyncio.run(exchange())
            sizes.append(resident())
        assert sizes[3] - sizes[1] < 6 * 2**20, sizes
        """
    )
