"""ENOBUFS: the kernel has no memory for what is sent or accepted."""

import pytest

from ..integration.processes import output
from .seccomp import FILTER, needs_seccomp

pytestmark = [needs_seccomp, pytest.mark.parametrize("kind", ["asyncio", "riata"])]

SENDING = '["sendto", "sendmsg", "sendmmsg", "write", "writev"]'


def test_datagrams_are_dropped_one_by_one_and_the_endpoint_lives_on(kind: str) -> None:
    """`error_received` is told, nothing is closed, and what arrives is still read."""
    lines = output(
        kind,
        FILTER
        + f"""
import errno, socket

class Endpoint(asyncio.DatagramProtocol):
    def __init__(self):
        self.errors, self.received = [], asyncio.Queue()
    def error_received(self, error):
        self.errors.append(error)
    def datagram_received(self, data, address):
        self.received.put_nowait(data)

async def main():
    loop = asyncio.get_running_loop()
    transport, endpoint = await loop.create_datagram_endpoint(Endpoint, local_addr=("127.0.0.1", 0))
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    transport.sendto(b"arrives", peer.getsockname())
    assert peer.recv(100) == b"arrives"
    refuse({SENDING}, transport.get_extra_info("socket").fileno(), errno.ENOBUFS)
    for number in range(3):
        transport.sendto(b"%d" % number, peer.getsockname())
        while len(endpoint.errors) <= number:
            await asyncio.sleep(0)
    print([error.errno == errno.ENOBUFS for error in endpoint.errors], transport.is_closing())
    peer.sendto(b"hello", transport.get_extra_info("sockname"))
    print(await endpoint.received.get())
    transport.close()
    await asyncio.sleep(0)
    peer.close()

run(main())
""",
    )
    assert lines == ["[True, True, True] False", "b'hello'"]


def test_a_stream_that_cannot_be_sent_on_is_lost(kind: str) -> None:
    lines = output(
        kind,
        FILTER
        + f"""
import errno, socket

class Stream(asyncio.Protocol):
    def __init__(self):
        self.lost = loop.create_future()
    def connection_lost(self, error):
        self.lost.set_result(error)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, protocol = await loop.create_connection(Stream, sock=ours)
    fd = transport.get_extra_info("socket").fileno()
    transport.write(b"arrives")
    await asyncio.sleep(0)
    assert theirs.recv(100) == b"arrives"
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    refuse({SENDING}, fd, errno.ENOBUFS)
    transport.write(b"does not")
    error = await protocol.lost
    print(error.errno == errno.ENOBUFS, told)
    try:
        os.fstat(fd)
    except OSError:
        print("closed")
    theirs.close()

run(main())
""",
    )
    assert lines == ["True []", "closed"]


def test_a_server_that_cannot_accept_backs_off_and_serves_what_it_has(kind: str) -> None:
    """asyncio counts ENOBUFS among what passes by itself: told once, no busy loop, tried again after a while."""
    lines = output(
        kind,
        FILTER
        + """
import errno, socket, time

async def main():
    loop = asyncio.get_running_loop()
    told = asyncio.Queue()
    loop.set_exception_handler(lambda loop, context: told.put_nowait(context))

    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=1)  # asyncio tells as many times
    address = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address)
    refuse(["accept", "accept4"], server.sockets[0].fileno(), errno.ENOBUFS)
    waiting = socket.create_connection(address)
    context = await told.get()
    print(context["message"], context["exception"].errno == errno.ENOBUFS)
    before = time.process_time()
    for number in range(100):
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
    print(told.qsize() <= 1)
    while not told.empty():
        told.get_nowait()
    await told.get()  # it tried again
    print("idle" if time.process_time() - before < 0.5 else "busy")
    writer.close()
    await writer.wait_closed()
    waiting.close()
    server.close()
    await server.wait_closed()

run(main())
""",
    )
    assert lines == ["socket.accept() out of system resource True", "True", "idle"]
