"""The first reading: riata beside uvloop and asyncio, in one run, in turn, by CPU time.

Each measurement is a process of its own. The loops take turns, so that a machine that gets slower slows all of them;
what is compared is the median of the ratios, round by round, with their spread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean, median
from types import ModuleType

from rich.console import Console
from rich.table import Table

from benches import children, micro
from benches.loops import NAMES, OURS

ROOT = Path(__file__).parent.parent


def alone(module: ModuleType, case: str, count: int) -> Callable[[str], float]:
    """A measurement of a case of `module` in a process of its own, in CPU microseconds an operation."""

    def measure(loop: str) -> float:
        command = [sys.executable, "-m", module.__name__, loop, case, str(count)]
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return float(run.stdout) / count * 1e6

    return measure


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate with its key in `folder`, and the certificate alone, in DER, beside it."""
    path = folder / "both.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    leaf = ["-addext", "basicConstraints=critical,CA:FALSE"]
    command = ["openssl", "req", "-x509", "-days", "2", *key, *names, *leaf, "-out", folder / "one.pem"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (folder / "one.pem").read_bytes())
    convert = ["openssl", "x509", "-in", path, "-outform", "der", "-out", path.with_suffix(".der")]
    subprocess.run(convert, check=True, capture_output=True)
    return path


def echo(
    load: Path, connections: int, size: int, messages: int, certificate: Path | None = None
) -> Callable[[str], float]:
    """A measurement of the echo server's CPU microseconds a message; over TLS if there is a certificate."""
    trusted = [] if certificate is None else [certificate.with_suffix(".der")]

    def measure(loop: str) -> float:
        command = [sys.executable, "-m", "benches.echo", loop]
        if certificate is not None:
            command += ["--tls", str(certificate)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            arguments = [*trusted, f"127.0.0.1:{port}", str(connections), str(size), str(messages)]
            subprocess.run([load, *arguments], check=True, capture_output=True)
            server.stdin.close()
            return float(server.stdout.readline()) / messages * 1e6

    return measure


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each loop; default: 7")
    parser.add_argument("--count", type=int, default=200_000, help="operations of a measurement; default: 200000")
    parser.add_argument("--only", default="", help="only cases whose name has this in it")
    parser.add_argument("--load", type=Path, required=True, help="the program echo_load, which makes the load")
    parser.add_argument("--tls-load", type=Path, required=True, help="the program tls_load, which does so over TLS")
    options = parser.parse_args()

    cases = {case: alone(micro, case, options.count) for case in micro.CASES}
    cases |= {case: alone(children, case, max(50, options.count // 400)) for case in children.CASES}
    for size in (1024, 10 * 1024, 100 * 1024):
        messages = max(2000, options.count // (1 + size // 4096))
        cases[f"echo, 64 x {size // 1024} KiB"] = echo(options.load, 64, size, messages)
    folder = tempfile.TemporaryDirectory(prefix="riata-bench-")
    certificate = make_certificate(Path(folder.name))
    for size in (1024, 10 * 1024, 100 * 1024):
        messages = max(2000, options.count // (1 + size // 4096))
        cases[f"TLS echo, 64 x {size // 1024} KiB"] = echo(options.tls_load, 64, size, messages, certificate)

    table = Table("CPU µs each", *NAMES, *(f"uvloop / {name}" for name in OURS))
    means: dict[str, list[float]] = {name: [] for name in OURS}
    for case, measure in cases.items():
        if options.only not in case:
            continue
        rounds = [{loop: measure(loop) for loop in NAMES} for _ in range(options.rounds)]
        cells = [f"{median(round[loop] for round in rounds):.3f}" for loop in NAMES]
        for name in OURS:
            ratios = sorted(round["uvloop"] / round[name] for round in rounds)
            cells.append(f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
            if case in micro.CASES:
                means[name].append(median(ratios))
        table.add_row(case, *cells)
    if all(means.values()):
        table.add_row(
            "geometric mean of the small things", *[""] * len(NAMES), *(f"{geometric_mean(means[n]):.2f}" for n in OURS)
        )
    Console(width=130).print(table)
    folder.cleanup()


if __name__ == "__main__":
    main()
