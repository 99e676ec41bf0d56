"""Thousands of TLS connections, opened, used and ended in each way: memory has no slope."""

import os
from typing import Any

import pytest

from ..integration.processes import run_program
from ..integration.secure import certificate

pytestmark = [pytest.mark.stress, pytest.mark.timeout(700)]

CONNECTIONS = int(os.environ.get("RIATA_STRESS_CONNECTIONS", "10000"))

PROGRAM = """
import resource, ssl

CERTIFICATE, CONNECTIONS = {certificate!r}, {connections}

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
serving.load_cert_chain(CERTIFICATE)
context = ssl.create_default_context(cafile=CERTIFICATE)

async def handle(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def one(address, number):
    if number % 50 == 49:  # a handshake that is broken off
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *address)
        transport.write(b"no TLS")
        await asyncio.sleep(0)
        transport.abort()
        return
    reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="localhost")
    text = b"x" * (1 << number % 18)
    writer.write(text)
    assert await reader.readexactly(len(text)) == text
    if number % 10 == 9:
        writer.transport.abort()
    else:
        writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        pass

async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=serving)
    address = server.sockets[0].getsockname()
    for batch in range(10):
        for part in range(CONNECTIONS // 500):
            await asyncio.gather(*(one(address, number) for number in range(50)))
        await asyncio.sleep(0.05)
        gc.collect()
        print(resident(), len(os.listdir("/proc/self/fd")))
    server.close()

run(main())
"""


def test_ten_batches_of_tls_connections_have_no_slope(capsys: pytest.CaptureFixture[Any]) -> None:
    program = PROGRAM.format(certificate=str(certificate()), connections=CONNECTIONS)
    ended = run_program("riata", program, limit=600)
    assert (ended.status, ended.stderr) == (0, "")
    lines = [[int(number) for number in line.split()] for line in ended.stdout.splitlines()]
    sizes, descriptors = [size for size, _ in lines], [count for _, count in lines]
    with capsys.disabled():
        text = " ".join(f"{size / 2**20:.1f}" for size in sizes)
        print(f"\n  riata: MiB after each batch of {CONNECTIONS // 10:,} connections: {text}")
    assert descriptors[9] <= descriptors[0] + 4
    # From the fourth batch to the tenth, 100 bytes lost by each of 6,000 connections would be 600,000.
    assert sizes[9] - sizes[3] < 2 * 2**20, sizes
