"""asyncio's loops as guests of a gevent hub: each case is a program of its own."""

import pytest

pytest.importorskip("gevent")

from tests.integration.green.programs import passes


def test_a_coroutine_that_waits_in_gevent_suspends_its_task_alone() -> None:
    passes(
        """
        order = []
        async def blocks(name):
            before = here()
            order.append(name)
            gevent.sleep(0.01)
            assert here() == before
            order.append(name)
            await asyncio.sleep(0)
            assert here() == before
        async def main():
            await asyncio.gather(*[blocks(name) for name in "abc"])
        asyncio.run(main())  # the hub is made while it runs
        assert sorted(order) == list("aabbcc")
        order.clear()
        asyncio.run(main())
        assert order == list("abcabc"), order
        """
    )


def test_what_is_waited_for_may_come_from_another_task() -> None:
    passes(
        """
        gevent.get_hub()
        async def main():
            event, queue, lock = gevent.event.Event(), gevent.queue.Queue(), gevent.lock.Semaphore()
            async def gives():
                await asyncio.sleep(0)
                event.set()
                queue.put(1)
                lock.release()
            lock.acquire()
            task = asyncio.create_task(gives())
            assert event.wait(10)
            assert queue.get(timeout=10) == 1
            assert lock.acquire(timeout=10)
            await task
        asyncio.run(main())
        """
    )


def test_context_variables_are_each_tasks_own() -> None:
    passes(
        """
        gevent.get_hub()
        var = contextvars.ContextVar("var")
        async def one(number):
            var.set(number)
            gevent.sleep(0.001)
            assert var.get() == number
            await asyncio.sleep(0)
            gevent.sleep(0)
            assert var.get() == number
        async def main():
            await asyncio.gather(*map(one, range(20)))
            assert var.get(None) is None
        asyncio.run(main())
        """
    )


def test_many_greenlets_run_a_loop_each() -> None:
    passes(
        """
        def one(number):
            assert here() == (None, None)
            async def main():
                loop = asyncio.get_running_loop()
                await asyncio.sleep(0.001 * (number % 3))
                gevent.sleep(0.001 * (number % 5))
                assert asyncio.get_running_loop() is loop
                return number
            result = asyncio.run(main())
            assert here() == (None, None)
            return result
        greenlets = [gevent.spawn(one, number) for number in range(20)]
        gevent.joinall(greenlets, raise_error=True)
        assert [one.value for one in greenlets] == list(range(20))
        """
    )


def test_other_greenlets_see_nothing_of_a_loop() -> None:
    passes(
        """
        seen = []
        async def main():
            greenlet = gevent.spawn(lambda: seen.append(here()))
            gevent.sleep(0.001)
            greenlet.join()
            gevent.get_hub().loop.run_callback(lambda: seen.append(here()))
            gevent.sleep(0)
            await asyncio.sleep(0.001)
        asyncio.run(main())
        gevent.spawn(asyncio.run, main()).join()
        assert seen == [(None, None)] * 4, seen
        """
    )


def test_threads_reach_a_loop_that_is_a_guest() -> None:
    passes(
        """
        gevent.get_hub()
        async def main():
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            thread = threading.Timer(0.01, loop.call_soon_threadsafe, [done.set])
            thread.start()
            await asyncio.wait_for(done.wait(), 10)
            thread.join()
            async def value():
                return threading.get_ident()
            def asks():
                return asyncio.run_coroutine_threadsafe(value(), loop).result(10)
            assert await asyncio.to_thread(asks) == threading.get_ident()
        asyncio.run(main())
        """
    )


def test_another_greenlet_reaches_a_loop_that_waits() -> None:
    passes(
        """
        loops = []
        async def main():
            loops.append(asyncio.get_running_loop())
            future = loops[0].create_future()
            loops.append(future)
            return await future
        greenlet = gevent.spawn(asyncio.run, main())
        gevent.sleep(0.01)
        loops[1].set_result(5)
        greenlet.join(10)
        assert greenlet.value == 5
        """
    )


def test_streams_and_servers_of_a_guest() -> None:
    passes(
        """
        gevent.get_hub()
        async def serve(reader, writer):
            line = await reader.readline()
            gevent.sleep(0.001)
            writer.write(line)
            await writer.drain()
            writer.close()
        async def ask(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer
        async def main():
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                assert await asyncio.gather(*[ask(port) for _ in range(30)]) == [b"hello\\n"] * 30
        asyncio.run(main())
        """
    )


def test_a_protocol_may_wait_in_gevent() -> None:
    passes(
        """
        gevent.get_hub()
        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
            def data_received(self, data):
                gevent.sleep(0.001)
                self.transport.write(data)
        async def ask(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(5):
                writer.write(b"%d" % number)
                assert await reader.readexactly(1) == b"%d" % number
            writer.close()
            await writer.wait_closed()
        async def main():
            loop = asyncio.get_running_loop()
            async with await loop.create_server(Echo, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                await asyncio.gather(*[ask(port) for _ in range(20)])
        asyncio.run(main())
        """
    )


@pytest.mark.parametrize(
    "where",
    [
        "loop.call_soon(waits)",
        "loop.call_later(0.001, waits)",
        "asyncio.ensure_future(asyncio.sleep(0)).add_done_callback(lambda _: waits())",
        "loop.call_soon(gone, Last())",
        "(loop.set_exception_handler(lambda *_: waits()), loop.call_soon(lambda: 1 / 0))",
        "loop.call_soon_threadsafe(waits)",
    ],
)
def test_every_kind_of_callback_may_wait_in_gevent(where: str) -> None:
    passes(
        f"""
        gevent.get_hub()
        count = []
        def waits():
            gevent.sleep(0.001)
            count.append(1)
        class Last:
            def __del__(self):
                waits()
        def gone(last):
            del last
        async def main():
            loop = asyncio.get_running_loop()
            for _ in range(10):
                {where}
                await asyncio.sleep(0.0005)
            while len(count) < 10:
                await asyncio.sleep(0.001)
        asyncio.run(main())
        """
    )


def test_the_interrupt_key_ends_a_guest() -> None:
    passes(
        """
        import os
        gevent.get_hub()
        ended = []
        async def main():
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                ended.append(1)
                raise
        thread = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        thread.start()
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            ended.append(2)
        assert ended == [1, 2], ended
        """
    )


def test_signal_handlers_of_a_guest() -> None:
    passes(
        """
        import os
        gevent.get_hub()
        async def main():
            loop, came = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, came.set)
            loop.call_later(0.01, os.kill, os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(came.wait(), 10)
            loop.remove_signal_handler(signal.SIGUSR1)
        asyncio.run(main())
        """
    )


def test_child_processes_of_both() -> None:
    passes(
        """
        from gevent import subprocess
        async def main():
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=-1)
            assert subprocess.check_output([sys.executable, "-c", "print(2)"]) == b"2\\n"
            assert await process.communicate() == (b"1\\n", None)
        asyncio.run(main())
        asyncio.run(main())
        """
    )


def test_asynchronous_generators_are_closed_by_their_loop() -> None:
    passes(
        """
        gevent.get_hub()
        closed = []
        async def numbers():
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(0)
                closed.append(here()[0])
        async def main():
            generator = numbers()
            assert await anext(generator) == 1
            gevent.sleep(0.001)
            main.generator = generator
            return asyncio.get_running_loop()
        loop = asyncio.run(main())
        assert closed == [loop]
        """
    )


def test_under_monkey_patching() -> None:
    passes(
        """
        import http.server, requests, socketserver
        class Slow(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(0.05)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        server.daemon_threads = True
        gevent.spawn(server.serve_forever)
        ticks = []
        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.005)
        async def fetch():
            return requests.get(f"http://127.0.0.1:{server.server_port}/").text
        async def main():
            ticker = asyncio.create_task(tick())
            assert await asyncio.gather(*[fetch() for _ in range(10)]) == ["ok"] * 10
            ticker.cancel()
            assert await asyncio.to_thread(lambda: 5) == 5
            time.sleep(0.001)
        asyncio.run(main())
        assert len(ticks) > 3
        """,
        patch=True,
    )


def test_nothing_is_kept_of_a_loop_that_was_a_guest() -> None:
    passes(
        """
        loops = []
        def one():
            async def main():
                gevent.sleep(0.001)
                await asyncio.sleep(0)
                loops.append(weakref.ref(asyncio.get_running_loop()))
            with asyncio.Runner(loop_factory=riata.new_event_loop) as runner:
                runner.run(main())
        gevent.joinall([gevent.spawn(one) for _ in range(5)], raise_error=True)
        asyncio.set_event_loop(None)
        gevent.sleep(0.001)
        gc.collect()
        assert [one() for one in loops] == [None] * 5, loops
        """
    )


def test_a_hub_in_another_thread() -> None:
    passes(
        """
        def work():
            async def main():
                gevent.sleep(0.001)
                await asyncio.sleep(0.001)
                gevent.sleep(0.001)
                return await asyncio.gather(*[asyncio.sleep(0.001, n) for n in range(5)])
            results.append(asyncio.run(main()))
            results.append(asyncio.run(main()))
            gevent.get_hub().destroy()
        results = []
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [list(range(5))] * 6
        """
    )


@pytest.mark.parametrize("patch", [False, True], ids=["plain", "patched"])
def test_greenlets_that_coroutines_drive(patch: bool) -> None:
    """SQLAlchemy's give what they await to the greenlet that began them; another one may drive them later."""
    passes(
        """
        import os, tempfile
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import create_async_engine
        async def one(engine, number):
            async with engine.connect() as connection:
                query = text("select :number"), {"number": number}
                assert (await connection.execute(*query)).scalar_one() == number
                gevent.sleep(0.001)
                def inside(connection):
                    gevent.sleep(0.001)
                    assert here()[1] is not None
                    return connection.execute(*query).scalar_one()
                return await connection.run_sync(inside)
        async def main(path):
            engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
            assert await asyncio.gather(*[one(engine, number) for number in range(30)]) == list(range(30))
            await engine.dispose()
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(f"{folder}/a"))
            greenlets = [gevent.spawn(asyncio.run, main(f"{folder}/{number}")) for number in range(3)]
            gevent.joinall(greenlets, raise_error=True)
        """,
        patch=patch,
    )


def test_what_is_due_overtakes_a_batch_whose_steps_wait_in_gevent() -> None:
    passes(
        """
        gevent.get_hub()
        async def main():
            loop, order = asyncio.get_running_loop(), []
            async def sleeper():
                await asyncio.sleep(0)
                order.append("begun")
                while time.monotonic() < due:  # computes until the timer is due, and then waits
                    pass
                gevent.sleep(0)
            async def ticks():
                await asyncio.sleep(0.001)
                order.append("tick")
            ticker = loop.create_task(ticks())
            await asyncio.sleep(0)
            due = time.monotonic() + 0.002
            await asyncio.gather(*[sleeper() for _ in range(10)], ticker)
            assert order == ["begun", "tick", *["begun"] * 9], order
        asyncio.run(main())
        """
    )


def test_what_overtakes_a_batch_may_wait_in_gevent_as_well() -> None:
    passes(
        """
        gevent.get_hub()
        async def main():
            loop, order = asyncio.get_running_loop(), []
            def late(name):
                order.append(name)
                gevent.sleep(0)
                order.append(name)
            async def waits(name):
                if name == 0:
                    for other in "abc":
                        loop.call_later(0, late, other)
                order.append(name)
                gevent.sleep(0)
            await asyncio.gather(*[waits(name) for name in range(5)])
            while len(order) < 11:
                await asyncio.sleep(0)
            assert order[:2] == [0, "a"] and [one for one in order if one in range(5)] == [*range(5)], order
            assert sorted(one for one in order if one in tuple("abc")) == [*"aabbcc"], order
        asyncio.run(main())
        """
    )
