"""How long a loop is held by blocking calls that `riata.unblock()` turned into waits: `make bench-unblock`.

For each kind of call 50 coroutines make one that takes 0.2 s, beside a ticker that is due every 10 ms. Printed is how
long all took, and the longest time between two ticks: what another task of the program would have waited.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import requests

import riata

CALLS = 50
TAKES = 0.2
"""Seconds that a call takes."""
DUE = 0.01
"""Seconds between two ticks."""

SERVER = f"""
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep({TAKES})
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def calls(url: str, folder: Path) -> dict[str, Callable[[], object]]:
    """What a coroutine calls, by what it is called."""
    held = threading.Lock()
    big = folder / "big"
    big.write_bytes(b"x" * 2**20)
    database = folder / "database"
    host, port = url.removeprefix("http://").split(":")

    def receive() -> None:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while connection.recv(1000):
                pass

    def wait_for_a_lock() -> None:
        held.acquire(timeout=TAKES)

    def query() -> None:
        count = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select sum(i) from n"
        with sqlite3.connect(database) as connection:
            connection.execute(count).fetchone()

    held.acquire()
    return {
        "requests.get": lambda: requests.get(url, timeout=30),
        "urlopen": lambda: urllib.request.urlopen(url).read(),
        "a socket": receive,
        "time.sleep": lambda: time.sleep(TAKES),
        "a lock": wait_for_a_lock,
        "subprocess.run": lambda: subprocess.run(["sleep", str(TAKES)], check=True),
        "a file of 1 MiB": big.read_bytes,
        "sqlite3": query,
    }


async def together(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds for all, and the longest between two ticks."""
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(DUE)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    async def one() -> None:
        call()

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CALLS)))
    took = time.perf_counter() - begun
    await asyncio.sleep(DUE)
    ticker.cancel()
    return took, max(gaps)


def main() -> None:
    """Measures, and prints a line for each kind of call."""
    print(f"{CALLS} at once: {'all':>12} {'worst gap':>12}")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        requests.get(url, timeout=30)  # what is imported with the first is no part of it
        try:
            with riata.unblock():
                for name, call in calls(url, Path(folder)).items():
                    took, gap = riata.run(together(call))
                    print(f"{name:16} {took * 1000:9.0f} ms {gap * 1000:9.0f} ms", flush=True)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
