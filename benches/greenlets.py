"""gevent on riata's loop beside gevent on libev, in one run, in turn, by CPU time: `make bench-gevent`.

`python -m benches.greenlets LOOP CASE COUNT` is one measurement, and prints CPU and wall seconds. A case does something
so many times.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from statistics import geometric_mean, median

LOOPS = {"libev": "libev-cext", "riata": "riata.gevent.Loop"}


def spawn_and_join(count: int) -> None:
    """A greenlet that does nothing, spawned and joined, one after the other."""
    import gevent

    def nothing() -> None:
        pass

    for _ in range(count):
        gevent.spawn(nothing).join()


def spawn_many(count: int) -> None:
    """1,000 greenlets at a time, each of which sleeps for no time, joined."""
    import gevent

    for _ in range(count // 1000):
        gevent.joinall([gevent.spawn(gevent.sleep, 0) for _ in range(1000)])


def sleep_zero(count: int) -> None:
    """`gevent.sleep(0)`."""
    import gevent

    for _ in range(count):
        gevent.sleep(0)


def timer_sleep(count: int) -> None:
    """`gevent.sleep` for a microsecond."""
    import gevent

    for _ in range(count):
        gevent.sleep(1e-6)


def timer_sleeps(count: int) -> None:
    """100 greenlets that sleep for up to ten milliseconds, again and again."""
    import gevent

    def sleep(seconds: float) -> None:
        for _ in range(count // 100):
            gevent.sleep(seconds)

    gevent.joinall([gevent.spawn(sleep, place * 1e-4) for place in range(100)])


def run_callback(count: int) -> None:
    """`loop.run_callback` of a function that does nothing, 1,000 at a time."""
    import gevent

    hub = gevent.get_hub()
    function = len
    for _ in range(count // 1000):
        run = hub.loop.run_callback
        for _ in range(1000):
            run(function, "")
        gevent.sleep(0)


def timeout(count: int) -> None:
    """A `gevent.Timeout` that is started and cancelled."""
    import gevent

    for _ in range(count):
        gevent.Timeout.start_new(10).cancel()


def with_timeout(count: int) -> None:
    """`with gevent.Timeout(10)` around nothing."""
    import gevent

    for _ in range(count):
        with gevent.Timeout(10):
            pass


def event(count: int) -> None:
    """Two greenlets that wake each other by events."""
    import gevent
    from gevent.event import Event

    here, there = Event(), Event()

    def other() -> None:
        for _ in range(count):
            there.wait()
            there.clear()
            here.set()

    partner = gevent.spawn(other)
    for _ in range(count):
        there.set()
        here.wait()
        here.clear()
    partner.join()


def queue(count: int) -> None:
    """One greenlet puts into a queue of ten, another gets."""
    import gevent
    from gevent.queue import Queue

    items: Queue[int] = Queue(10)

    def get() -> None:
        for _ in range(count):
            items.get()

    partner = gevent.spawn(get)
    for number in range(count):
        items.put(number)
    partner.join()


def socket_pair(count: int) -> None:
    """A byte there and back over a pair of sockets."""
    import gevent
    from gevent.socket import socketpair

    one, other = socketpair()

    def echo() -> None:
        while data := other.recv(1):
            other.sendall(data)

    partner = gevent.spawn(echo)
    for _ in range(count):
        one.sendall(b"x")
        one.recv(1)
    one.close()
    partner.join()
    other.close()


def socket_pairs(count: int) -> None:
    """The same over 100 pairs at once."""
    import gevent
    from gevent.socket import socketpair

    def echo(other: object) -> None:
        while data := other.recv(1):  # type: ignore[attr-defined]
            other.sendall(data)  # type: ignore[attr-defined]

    def ask(one: object) -> None:
        for _ in range(count // 100):
            one.sendall(b"x")  # type: ignore[attr-defined]
            one.recv(1)  # type: ignore[attr-defined]

    pairs = [socketpair() for _ in range(100)]
    partners = [gevent.spawn(echo, other) for _, other in pairs]
    gevent.joinall([gevent.spawn(ask, one) for one, _ in pairs])
    for one, _ in pairs:
        one.close()
    gevent.joinall(partners)


def thread_pool(count: int) -> None:
    """A job in a real thread, waited for."""
    import gevent

    pool = gevent.get_hub().threadpool
    for _ in range(count):
        pool.apply(len, ("",))


def requests_pool(count: int) -> None:
    """`requests.get` in a pool of 20 greenlets, of a server of gevent's in the same process; one session for each."""
    from gevent import monkey

    monkey.patch_all()
    import requests
    from gevent.local import local
    from gevent.pool import Pool
    from gevent.pywsgi import WSGIServer

    def answer(_: object, start: Callable[..., object]) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]

    server = WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    mine = local()

    def get(_: int) -> int:
        if not hasattr(mine, "session"):
            mine.session = requests.Session()
            mine.session.trust_env = False
        return int(mine.session.get(address).status_code)

    def several(share: range) -> int:
        return sum(get(number) == 200 for number in share)

    served = sum(Pool(20).imap_unordered(several, [range(count // 20)] * 20))
    assert served == count // 20 * 20, served
    server.stop()


CASES: dict[str, tuple[Callable[[int], None], int]] = {
    "spawn and join": (spawn_and_join, 50_000),
    "spawn 1,000, join all": (spawn_many, 50_000),
    "sleep(0)": (sleep_zero, 300_000),
    "timer sleep": (timer_sleep, 50_000),
    "timer sleeps, 100 at once": (timer_sleeps, 50_000),
    "run_callback": (run_callback, 1_000_000),
    "Timeout start and cancel": (timeout, 200_000),
    "with Timeout": (with_timeout, 200_000),
    "Event, two greenlets": (event, 100_000),
    "Queue, two greenlets": (queue, 200_000),
    "socket pair round trip": (socket_pair, 50_000),
    "socket pairs, 100 at once": (socket_pairs, 50_000),
    "thread pool": (thread_pool, 10_000),
    "requests through a pool": (requests_pool, 1_000),
}
"""A function, and how often it does it."""


def measure(loop: str, case: str, count: int) -> None:
    """Do it, and print what it took."""
    os.environ["GEVENT_LOOP"] = LOOPS[loop]
    import gevent

    function, _ = CASES[case]
    function(max(1000, count // 100) if case != "requests through a pool" else 20)  # what is done once
    assert loop in type(gevent.get_hub().loop).__module__, type(gevent.get_hub().loop)
    gc.collect()
    gc.freeze()  # how much was imported is not the question
    cpu, wall = time.process_time(), time.perf_counter()
    function(count)
    print(time.process_time() - cpu, time.perf_counter() - wall)


def compare(only: str, rounds: int, share: float) -> None:
    """Everything on both, in turn, and how many times the CPU time of riata libev takes."""
    from benches.measure import Reading, alone

    ratios = []
    print(f"{'':28}{'libev':>10}{'riata':>10}{'libev / riata':>24}")
    for case, (_, count) in CASES.items():
        if only not in case:
            continue
        times = max(20, int(count * share))
        readings: dict[str, list[Reading]] = {loop: [] for loop in LOOPS}
        for _ in range(rounds):
            for loop in LOOPS:
                readings[loop].append(alone("benches.greenlets", case, times)(loop))
        libev, riata = ([one.cpu for one in readings[loop]] for loop in ("libev", "riata"))
        found = sorted(other / ours for other, ours in zip(libev, riata, strict=True))
        ratios.append(median(found))
        spread = f"{ratios[-1]:.2f} ({found[0]:.2f} to {found[-1]:.2f})"
        print(f"{case:28}{median(libev):10.3f}{median(riata):10.3f}{spread:>24}  µs", flush=True)
    if ratios:
        print(f"geometric mean {geometric_mean(ratios):.2f}, least {min(ratios):.2f}")


def main() -> None:
    """Measure, or compare."""
    if len(sys.argv) == 4 and sys.argv[1] in LOOPS:
        measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(prog="python -m benches.greenlets", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each loop")
    parser.add_argument("--share", type=float, default=1.0, help="of the operations of a measurement")
    options = parser.parse_args()
    compare(options.only, options.rounds, options.share)


if __name__ == "__main__":
    main()
