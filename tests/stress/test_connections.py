"""Many connections on one loop, and one whose peer stops reading. The load comes from another process."""

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from typing import Any

import pytest

from ..integration.processes import output

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

pytestmark = pytest.mark.stress

CONNECTIONS = int(os.environ.get("RIATA_STRESS_CONNECTIONS", "10000"))
ROUNDS = int(os.environ.get("RIATA_STRESS_ROUNDS", "2"))
KIBIBYTE = 1024

# Opens the connections, then echoes over all of them at once, round by round, when it is told to.
LOAD = """
import resource, socket, sys

port, connections, rounds = map(int, sys.argv[1:])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
sockets = []
for number in range(connections):
    one = socket.socket()
    # Each source address has its own 28,000 ports. What bind chooses is nobody else's for a minute: a test that runs
    # beside this one found none. So connect chooses (24 is IP_BIND_ADDRESS_NO_PORT, ip(7)).
    one.setsockopt(socket.IPPROTO_IP, 24, 1)
    one.bind((f"127.0.1.{1 + number // 5000}", 0))
    one.connect(("127.0.0.1", port))
    sockets.append(one)
print("open", flush=True)
for turn in range(rounds):
    sys.stdin.readline()
    text = b"%08d" % turn
    for one in sockets:
        one.sendall(text)
    for one in sockets:
        got = b""
        while len(got) < len(text):
            part = one.recv(64)
            assert part, "the server closed"
            got += part
        assert got == text, got
    print("echoed", flush=True)
sys.stdin.readline()
"""

# Serves them on one loop, in a process of its own, so that what another test has freed is not found again.
SERVER = """
import resource, subprocess

LOAD, CONNECTIONS, ROUNDS = {load!r}, {connections}, {rounds}

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept, everybody, nobody = set(), asyncio.Event(), asyncio.Event()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        kept.add(self)
        if len(kept) == CONNECTIONS:
            everybody.set()

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, error):
        kept.discard(self)
        if not kept:
            nobody.set()

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    await asyncio.to_thread(int)  # the thread pool is not the connections'
    before = resident()
    command = [sys.executable, "-c", LOAD, str(port), str(CONNECTIONS), str(ROUNDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        def tell(text):
            load.stdin.write(text)
            load.stdin.flush()
        assert await asyncio.to_thread(load.stdout.readline) == "open\\n"
        await everybody.wait()
        print((resident() - before) // CONNECTIONS)
        for _ in range(ROUNDS):
            tell("go\\n")
            assert await asyncio.to_thread(load.stdout.readline) == "echoed\\n"
        assert len(kept) == CONNECTIONS
        tell("end\\n")
        assert await asyncio.to_thread(load.wait) == 0
    await nobody.wait()
    server.close()
    await server.wait_closed()
    if KIND == "riata":
        assert loop.stats()["turns"] > 0

run(main())
"""


def resident() -> int:
    """This process's resident memory, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("kind", ["asyncio", "riata"])
def test_10_000_connections_echo(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    # What the hard limit allows, beside the server's own files.
    connections = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
    (each,) = output(kind, SERVER.format(load=LOAD, connections=connections, rounds=ROUNDS))
    with capsys.disabled():
        print(f"\n  {kind}: {connections:,} connections, {int(each) / KIBIBYTE:.2f} KiB each while idle")


class Source(asyncio.Protocol):
    """Writes as long as it is not asked to pause."""

    def __init__(self, high: int) -> None:
        self.high = high
        self.paused = False
        self.most = self.writes = 0
        self.made = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIBIBYTE)
        transport.set_write_buffer_limits(high=self.high)
        self.made.set_result(None)

    def write(self, data: bytes) -> None:
        if not self.paused:
            self.transport.write(data)
            self.writes += 1
            self.most = max(self.most, self.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)


def test_a_client_that_stops_reading(run: Callable[..., Any]) -> None:
    """A server that keeps to pause_writing holds its high-water mark and one write, whatever the client does."""
    high, size, turns = 256 * KIBIBYTE, 64 * KIBIBYTE, 5000

    async def main() -> tuple[Source, int]:
        loop = asyncio.get_running_loop()
        source = Source(high)
        server = await loop.create_server(lambda: source, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await source.made
            while not source.paused:
                source.write(b"x" * size)
                await asyncio.sleep(0)
            before = resident()
            for _ in range(turns):
                source.write(b"x" * size)
                await asyncio.sleep(0)
            grown = resident() - before
            assert source.transport.get_write_buffer_size() > 0
            source.transport.abort()
            await source.lost
        server.close()
        await server.wait_closed()
        return source, grown

    source, grown = run(main())
    assert high <= source.most <= high + size
    assert source.writes < turns
    assert grown < 2**20, "memory grew while nothing could be sent"


def test_a_client_that_stops_reading_a_stream(run: Callable[..., Any]) -> None:
    """`StreamWriter.drain` waits, so a writer that drains holds no more than that either."""

    async def main() -> int:
        most = 0
        written = asyncio.Event()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most
            try:
                while True:
                    writer.write(b"x" * 64 * KIBIBYTE)
                    most = max(most, writer.transport.get_write_buffer_size())
                    if most > 64 * KIBIBYTE:
                        written.set()
                    await writer.drain()
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await written.wait()
            for _ in range(1000):
                await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        return most

    assert run(main()) <= 128 * KIBIBYTE  # asyncio's default mark of 64 KiB and one write


# In a process of its own: what it has open is the program's alone. The listening queue is emptied as it is filled, and
# TIME_WAIT is on the side that closes first, which is each side in turn.
OPEN_AND_CLOSE = """
CONNECTIONS, AT_ONCE = {connections}, 100

def open_fds():
    return len(os.listdir("/proc/self/fd"))

class Peer(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        if data == b"you":
            self.transport.close()
        else:
            self.transport.write(data)
    def connection_lost(self, error):
        assert error is None, error
        self.lost.set_result(None)

async def one(loop, address, number):
    transport, client = await loop.create_connection(Client, *address)
    if number % 3 == 0:
        transport.close()
    elif number % 3 == 1:
        transport.write(b"you")
    else:
        transport.write(b"echo")
        await client.answered
        transport.close()
    await client.lost

class Client(Peer):
    def __init__(self):
        super().__init__()
        self.answered = asyncio.get_running_loop().create_future()
    def data_received(self, data):
        self.answered.set_result(data)

async def main():
    loop = asyncio.get_running_loop()
    accepted = []
    def factory():
        accepted.append(Peer())
        return accepted[-1]
    server = await loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    before = open_fds()
    served = 0
    for first in range(0, CONNECTIONS, AT_ONCE):
        await asyncio.gather(*(one(loop, address, number) for number in range(first, first + AT_ONCE)))
        while len(accepted) < AT_ONCE:
            await asyncio.sleep(0)
        await asyncio.gather(*(peer.lost for peer in accepted))
        served += len(accepted)
        accepted.clear()
        assert open_fds() == before, (open_fds(), before)
    server.close()
    await server.wait_closed()
    print(served)

run(main())
"""


@pytest.mark.parametrize("kind", ["asyncio", "riata"])
def test_10_000_connections_opened_and_closed_leave_no_descriptor(kind: str) -> None:
    connections = CONNECTIONS // 100 * 100
    assert output(kind, OPEN_AND_CLOSE.format(connections=connections)) == [str(connections)]
