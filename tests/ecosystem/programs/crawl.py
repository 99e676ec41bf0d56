"""A crawl with aiohttp over TLS: links followed with bounded concurrency, pages that fail survived."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

PAGES = 500


def page(number: int) -> str:
    links = {(number * 2 + 1) % PAGES, (number * 2 + 2) % PAGES, (number + 1) % PAGES}
    return "".join(f'<a href="/{link}">{link}</a>' for link in links) + "x" * (number * 97 % 20_000)


async def serve(request: web.Request) -> web.StreamResponse:
    number = int(request.match_info["number"])
    match number % 50:
        case 17:
            raise web.HTTPNotFound
        case 23:  # gone in the middle of an answer
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"x")
            assert request.transport is not None
            request.transport.abort()
            return response
        case 29:
            raise web.HTTPFound(f"/{(number + 1) % PAGES}")
    return web.Response(text=page(number), content_type="text/html")


def test_crawl(run: Callable[..., Any], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def main() -> Counter[str]:
        app = web.Application()
        app.router.add_get(r"/{number:\d+}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls)
        await site.start()
        port = runner.addresses[0][1]
        ends: Counter[str] = Counter()
        seen = {"/0"}
        limit = asyncio.Semaphore(50)

        async def visit(path: str, session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
            async with limit:
                try:
                    async with session.get(path) as answer:
                        answer.raise_for_status()
                        text = await answer.text()
                except aiohttp.ClientResponseError as error:
                    ends[str(error.status)] += 1
                    return
                except aiohttp.ClientPayloadError:
                    ends["cut short"] += 1
                    return
            ends["read"] += 1
            for link in re.findall(r'href="([^"]+)"', text):
                if link not in seen:
                    seen.add(link)
                    group.create_task(visit(link, session, group))

        connector = aiohttp.TCPConnector(ssl=client_tls, limit=30)
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(f"https://localhost:{port}", connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(visit("/0", session, group))
        await runner.cleanup()
        return ends

    assert run(main()) == {"read": 480, "404": 10, "cut short": 10}
