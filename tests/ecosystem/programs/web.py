"""uvicorn serving a FastAPI application to httpx, in one loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
import trustme
import uvicorn
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Item(BaseModel):
    name: str
    price: float


def application() -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.post("/items/{number}")
    async def keep(number: int, item: Item) -> dict[str, Any]:
        return {"number": number, **item.model_dump()}

    @app.get("/blocking")
    def blocking() -> str:  # FastAPI runs it in a thread
        return "from a thread"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"%04d" % number * 1000
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    @app.post("/echo")
    async def echo(request: fastapi.Request) -> fastapi.Response:
        return fastapi.Response(await request.body())

    return app


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_requests(
    run: Callable[..., Any], authority: trustme.CA, client_tls: ssl.SSLContext, tmp_path: Path, scheme: str, http: str
) -> None:
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    tls = {"ssl_certfile": str(tmp_path / "server.pem")} if scheme == "https" else {}

    async def main() -> None:
        config = uvicorn.Config(
            application(), host="127.0.0.1", port=0, http=http, lifespan="on", log_level="warning", **tls
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"{scheme}://localhost:{port}", verify=client_tls, timeout=60) as client:
            answers = await asyncio.gather(
                *(client.post(f"/items/{n}", json={"name": str(n), "price": n / 2}) for n in range(200))
            )
            assert [answer.json() for answer in answers] == [
                {"number": n, "name": str(n), "price": n / 2} for n in range(200)
            ]
            assert (await client.get("/blocking")).json() == "from a thread"
            streamed = (await client.get("/stream")).content
            assert streamed == b"".join(b"%04d" % number * 1000 for number in range(100))
            body = bytes(range(256)) * 10_000
            assert (await client.post("/echo", content=body)).content == body
            assert (await client.post("/items/x", json={})).status_code == 422
        server.should_exit = True
        await serving

    run(main())
