"""The example that moves from gevent to asyncio: every step runs, and finds the same."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gevent")

FOLDER = Path(__file__).parents[2] / "examples" / "from_gevent"
PAGES = {"/a.txt": "b.txt c.txt", "/b.txt": "c.txt d.txt a.txt", "/c.txt": "no links", "/d.txt": "e.txt", "/e.txt": ""}
FOUND = "a.txt 11\nb.txt 17\nc.txt 8\nd.txt 5\ne.txt 0\n"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.txt"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("step", ["step0", "step1", "step2", "step3"])
def test_every_step_finds_the_same(step: str, site: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    command = [sys.executable, "-W", "ignore", str(FOLDER / f"{step}.py"), site]
    if step == "step0":
        command[1:1] = ["-m", "riata", "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, FOUND, "")
