"""`loop.sendfile` and `loop.sock_sendfile`: by the system call, or by reading and writing where there is none."""

import asyncio
import io
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

Run = Callable[[Coroutine[Any, Any, Any]], Any]

DATA = os.urandom(1_000_000)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[bytes]]:
    """A file with DATA in it."""
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as file:
        yield file


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each call of `os.sendfile` has sent."""
    sent: list[int] = []
    original = os.sendfile

    def sendfile(*arguments: Any) -> int:
        count = original(*arguments)
        sent.append(count)
        return count

    monkeypatch.setattr(os, "sendfile", sendfile)
    return sent


async def received(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while chunk := await loop.sock_recv(sock, 100_000):
        data += chunk
    return bytes(data)


@pytest.mark.parametrize(("offset", "count"), [(0, None), (10, None), (0, 300_000), (999_990, 100), (5, 0x7FFFFFFF)])
@pytest.mark.parametrize("transported", [False, True])
def test_the_system_call_is_used(
    run: Run, file: IO[bytes], calls: list[int], offset: int, count: int | None, transported: bool
) -> None:
    expected = DATA[offset:] if count is None else DATA[offset : offset + count]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with theirs:
            receiving = asyncio.create_task(received(theirs))
            if transported:
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
                transport.write(b"before ")
                sent = await loop.sendfile(transport, file, offset, count)
                transport.write(b" after")
                transport.close()
                assert await receiving == b"before " + expected + b" after"
            else:
                with ours:
                    sent = await loop.sock_sendfile(ours, file, offset, count)
                assert await receiving == expected
        assert sent == len(expected) == sum(calls)
        assert file.tell() == offset + sent

    run(main())


def test_what_is_no_file_is_read_and_written_or_refused(run: Run, calls: list[int]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with theirs:
            receiving = asyncio.create_task(received(theirs))
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sock_sendfile(ours, io.BytesIO(DATA), fallback=False)
            assert await loop.sock_sendfile(ours, io.BytesIO(DATA), 10, 100_000) == 100_000
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            with pytest.raises(RuntimeError, match=r"fallback is disabled|not a regular file"):
                await loop.sendfile(transport, io.BytesIO(DATA), fallback=False)
            assert await loop.sendfile(transport, io.BytesIO(DATA), 999_000) == 1_000
            transport.close()
            assert await receiving == DATA[10:100_010] + DATA[999_000:]
        assert not calls

    run(main())
