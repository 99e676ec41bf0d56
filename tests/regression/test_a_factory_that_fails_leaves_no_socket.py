"""A protocol factory that raises does not leave the connected socket open (CPython gh-153133)."""

import asyncio
import socket

import pytest

import riata


def test_a_factory_that_fails_leaves_no_socket() -> None:
    def factory() -> asyncio.Protocol:
        raise ZeroDivisionError

    async def main() -> int:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            sock = socket.create_connection(listening.getsockname())
            with pytest.raises(ZeroDivisionError):
                await loop.create_connection(factory, sock=sock)
        return sock.fileno()

    assert riata.run(main()) == -1
