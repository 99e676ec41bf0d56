"""grpc.aio, client and server, in one loop: all four kinds of calls, errors, deadlines and cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest


@pytest.fixture(autouse=True, scope="module")
def grpc_is_awake() -> None:
    """grpc keeps threads and descriptors of its own from its first use to the end of the process."""

    async def main() -> None:
        async with grpc.aio.insecure_channel("127.0.0.1:1"):
            pass

    asyncio.run(main())


async def one(request: bytes, context: Any) -> bytes:
    if request == b"refuse":
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "refused")
    if request == b"wait":
        await asyncio.Event().wait()
    return request[::-1]


async def many(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


async def join(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b"".join([request async for request in requests])


async def echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.upper()


HANDLERS = {
    "one": grpc.unary_unary_rpc_method_handler(one),
    "many": grpc.unary_stream_rpc_method_handler(many),
    "join": grpc.stream_unary_rpc_method_handler(join),
    "echo": grpc.stream_stream_rpc_method_handler(echo),
}


def test_calls(run: Callable[..., Any]) -> None:
    async def letters() -> AsyncIterator[bytes]:
        for letter in b"abcdef":
            yield bytes([letter])

    async def main() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Test", HANDLERS),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                answers = await asyncio.gather(*(channel.unary_unary("/Test/one")(b"%d" % n) for n in range(500)))
                assert answers == [(b"%d" % n)[::-1] for n in range(500)]
                big = b"ab" * 1_000_000
                assert await channel.unary_unary("/Test/one")(big) == big[::-1]
                numbers = [answer async for answer in channel.unary_stream("/Test/many")(b"1000")]
                assert numbers == [b"%d" % n for n in range(1000)]
                assert await channel.stream_unary("/Test/join")(letters()) == b"abcdef"
                assert [answer async for answer in channel.stream_stream("/Test/echo")(letters())] == [
                    bytes([letter]) for letter in b"ABCDEF"
                ]
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await channel.unary_unary("/Test/one")(b"refuse")
                assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
                with pytest.raises(grpc.aio.AioRpcError) as late:
                    await channel.unary_unary("/Test/one")(b"wait", timeout=0.1)
                assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                call = channel.unary_unary("/Test/one")(b"wait")
                await asyncio.sleep(0)
                assert call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
        finally:
            await server.stop(None)

    run(main())
