"""Programs: `python -m benches.web LOOP PROGRAM` prints a port, then CPU and wall seconds, as `benches.echo` does.

PROGRAM is `aiohttp` or `fastapi` (on uvicorn): a server that answers a small JSON document.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from benches.echo import Meter, until_input_ends
from benches.loops import factory


async def serve_aiohttp() -> None:
    """A handler of aiohttp's."""
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        Meter.begin()
        return web.json_response({"hello": request.match_info["name"]})

    app = web.Application()
    app.router.add_get("/{name}", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await until_input_ends(runner.addresses[0][1])
    await runner.cleanup()


async def serve_fastapi() -> None:
    """A path operation of FastAPI's, on uvicorn with httptools."""
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/{name}")
    async def hello(name: str) -> Any:
        Meter.begin()
        return {"hello": name}

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        config = uvicorn.Config(app, http="httptools", log_level="critical", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0.01)
        await until_input_ends(sock.getsockname()[1])
        server.should_exit = server.force_exit = True
        await serving


if __name__ == "__main__":
    programs = {"aiohttp": serve_aiohttp, "fastapi": serve_fastapi}
    loop = factory(sys.argv[1])()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(programs[sys.argv[2]]())
