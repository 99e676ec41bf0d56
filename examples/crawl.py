"""Serve Python's own standard library as a web site, and crawl it.

An ordinary aiohttp program: a server and a client in one event loop. Every folder of the library is a
page that links to what is in it; every module is pages of source, with links to what it imports.
Some pages fail, as pages do: they are missing, answer 500, never answer, or break off half way.

    python crawl.py                       # crawl everything
    python crawl.py --concurrency 8 --limit 500 --json report.json
"""

import argparse
import asyncio
import html
import json
import re
import sysconfig
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Never
from urllib.parse import quote, urldefrag, urljoin

import aiohttp
from aiohttp import web
from tqdm import tqdm

IMPORT = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][\w.]*)", re.MULTILINE)
TEXT = {".py", ".pyi", ".txt", ".rst", ".md", ".json", ".cfg", ".toml", ".xml", ".csv", ".decTest"}
LARGEST = 1 << 20  # bytes; what is larger is not served
LINES = 75  # of source on one page
TROUBLE = ("missing", "broken", "silent", "cut-off")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, whatever its encoding."""
    return path.read_text(encoding="utf-8", errors="replace").split("\n")


class Site:
    """The pages of a folder: which there are, and what each says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = {self._address(path): path for path in self._walk(root)}
        self.read: dict[Path, list[str]] = {}
        self.closing = asyncio.Event()

    def _walk(self, folder: Path) -> Iterator[Path]:
        yield folder
        for path in sorted(folder.iterdir()):
            if path.is_dir() and path.name not in {"__pycache__", "site-packages", "dist-packages"}:
                yield from self._walk(path)
            elif path.suffix in TEXT and path.is_file() and path.stat().st_size <= LARGEST:
                yield path

    def _address(self, path: Path) -> str:
        return (
            "/" + path.relative_to(self.root).as_posix().removeprefix(".") + "/" * (path.is_dir() and path != self.root)
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.path.startswith("/trouble/"):
            return await self._trouble(request)
        place, _, number = request.path.partition("@")
        path = self.paths.get(place)
        if path is None:
            raise web.HTTPNotFound
        if zlib.crc32(request.path.encode()) % 199 == 0:
            raise web.HTTPInternalServerError
        if path.is_dir():
            body = self._folder(path)
        else:
            if path not in self.read:  # from the disk once, and not while the loop waits
                self.read[path] = await asyncio.to_thread(read_lines, path)
            body = self._source(place, int(number or 1), self.read[path])
        return web.Response(text=f"<!doctype html><title>{html.escape(place)}</title>{body}", content_type="text/html")

    def _folder(self, folder: Path) -> str:
        inside = [address for address, path in self.paths.items() if path.parent == folder and path != folder]
        inside.append("CHANGES.html")  # promised everywhere, written nowhere
        if folder == self.root:
            inside += [f"/trouble/{kind}/{number}" for kind in TROUBLE for number in range(4)]
        return f"<ul><li>{'<li>'.join(map(self._link, inside))}</ul>"

    def _source(self, place: str, number: int, lines: list[str]) -> str:
        pages = -(-len(lines) // LINES)
        if not 1 <= number <= pages:
            raise web.HTTPNotFound
        source = "\n".join(lines[(number - 1) * LINES : number * LINES])
        stems = ["/" + module.replace(".", "/") for module in dict.fromkeys(IMPORT.findall(source))]
        links = [module for stem in stems for module in (f"{stem}.py", f"{stem}/") if module in self.paths]
        if number == 1:
            links += [f"{place}@{other}" for other in range(2, pages + 1)]
        return f"<nav>{' '.join(map(self._link, links))}</nav><pre>{html.escape(source)}</pre>"

    @staticmethod
    def _link(address: str) -> str:
        return f'<a href="{quote(address)}">{html.escape(address)}</a>'

    async def _trouble(self, request: web.Request) -> web.StreamResponse:
        kind = request.path.split("/")[2]
        if kind == "broken":
            raise web.HTTPInternalServerError
        if kind == "silent":
            await self.closing.wait()
        if kind == "cut-off":
            response = web.StreamResponse(headers={"Content-Length": "4096", "Content-Type": "text/html"})
            await response.prepare(request)
            await response.write(b"<!doctype html>")
            if request.transport is not None:
                request.transport.close()
            return response
        raise web.HTTPNotFound


class Links(HTMLParser):
    """Collects where a page's links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of an `<a href>`."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


@dataclass
class Report:
    """What a crawl found; times in seconds."""

    pages: int = 0
    bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    cpu: float = 0.0

    def percentile(self, share: float) -> float:
        """The latency that `share` of the pages stayed within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    @property
    def rate(self) -> float:
        """Pages per second."""
        return self.pages / self.elapsed if self.elapsed else 0.0

    def summary(self) -> dict[str, object]:
        """The report as what JSON can hold; latencies in milliseconds."""
        latencies = {name: round(1e3 * self.percentile(share), 3) for name, share in PERCENTILES.items()}
        return {
            "pages": self.pages,
            "bytes": self.bytes,
            "errors": dict(sorted(self.errors.items())),
            "seconds": round(self.elapsed, 4),
            "cpu_seconds": round(self.cpu, 4),
            "pages_per_second": round(self.rate, 1),
            "latency_ms": latencies,
        }

    def __str__(self) -> str:
        """The report for a reader."""
        errors = ", ".join(f"{count} {kind}" for kind, count in sorted(self.errors.items()))
        latencies = "  ".join(f"{name} {1e3 * self.percentile(share):.1f}" for name, share in PERCENTILES.items())
        return (
            f"pages       {self.pages}\n"
            f"bytes       {self.bytes}\n"
            f"errors      {self.errors.total()}" + (f" ({errors})" if errors else "") + "\n"
            f"seconds     {self.elapsed:.2f}, of which CPU {self.cpu:.2f}\n"
            f"pages/s     {self.rate:.0f}\n"
            f"latency/ms  {latencies}"
        )


PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


class Crawler:
    """Fetches every page that can be reached from the first, each once."""

    def __init__(self, session: aiohttp.ClientSession, limit: int | None, bar: "tqdm[Never]") -> None:
        self.session = session
        self.limit = limit
        self.bar = bar
        self.seen: set[str] = set()
        self.waiting: asyncio.Queue[str] = asyncio.Queue()
        self.report = Report()

    def add(self, address: str) -> None:
        """Have a page fetched, unless it was before or enough were."""
        if address not in self.seen and (self.limit is None or len(self.seen) < self.limit):
            self.seen.add(address)
            self.bar.total = len(self.seen)
            self.waiting.put_nowait(address)

    async def crawl(self, first: str, concurrency: int) -> Report:
        """Follow links from `first` until none are left, at most `concurrency` requests at a time."""
        started, cpu = time.perf_counter(), time.process_time()
        self.add(first)
        async with asyncio.TaskGroup() as group:  # an error that _work does not expect ends the crawl
            workers = [group.create_task(self._work()) for _ in range(concurrency)]
            await self.waiting.join()
            for worker in workers:
                worker.cancel()
        self.report.elapsed = time.perf_counter() - started
        self.report.cpu = time.process_time() - cpu
        return self.report

    async def _work(self) -> None:
        while True:
            address = await self.waiting.get()
            try:
                await self._fetch(address)
            except TimeoutError:
                self.report.errors["timeout"] += 1
            except aiohttp.ClientResponseError as error:
                self.report.errors[f"status {error.status}"] += 1
            except aiohttp.ClientError as error:
                self.report.errors[type(error).__name__] += 1
            finally:
                self.bar.update()
                self.waiting.task_done()

    async def _fetch(self, address: str) -> None:
        started = time.perf_counter()
        async with self.session.get(address) as response:
            response.raise_for_status()
            text = await response.text()
        self.report.latencies.append(time.perf_counter() - started)
        self.report.pages += 1
        self.report.bytes += len(text.encode())
        links = Links()
        links.feed(text)
        for link in links.found:
            self.add(urldefrag(urljoin(address, link)).url)


async def main(options: argparse.Namespace) -> Report:
    """Serve, crawl, stop serving."""
    site = Site(Path(sysconfig.get_path("stdlib")))
    app = web.Application()
    app.router.add_get("/{path:.*}", site.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        server = web.TCPSite(runner, "127.0.0.1", 0)
        await server.start()
        host, port = runner.addresses[0][:2]
        timeout = aiohttp.ClientTimeout(total=options.timeout)
        connector = aiohttp.TCPConnector(limit=options.concurrency)
        with tqdm(unit=" pages", desc="crawling", dynamic_ncols=True) as bar:
            async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
                return await Crawler(session, options.limit, bar).crawl(f"http://{host}:{port}/", options.concurrency)
    finally:
        site.closing.set()
        await runner.cleanup()


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--concurrency", type=int, default=32, metavar="N", help="requests at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=2.0, metavar="SECONDS", help="for one request (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, metavar="PAGES", help="stop after so many pages (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    options = parser.parse_args()
    if options.concurrency < 1 or options.timeout <= 0 or (options.limit is not None and options.limit < 1):
        parser.error("--concurrency, --timeout and --limit must be positive")
    return options


if __name__ == "__main__":
    asked = arguments()
    report = asyncio.run(main(asked))
    print(report)
    if asked.json:
        asked.json.write_text(json.dumps(report.summary(), indent=2) + "\n", encoding="utf-8")
