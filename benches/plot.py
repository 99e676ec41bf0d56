"""What was measured, as pictures."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pygal
from pygal.style import Style

from benches.loops import NAMES
from benches.report import Row

COLORS = {
    "asyncio": "#9aa0a6",
    "uvloop": "#f4b400",
    "rloop": "#8e63ce",
    "zuvloop": "#3b8ea5",
    "riata": "#e8710a",
    "installed": "#c5221f",
}


def _style(loops: list[str]) -> Style:
    return Style(
        background="white",
        plot_background="white",
        colors=tuple(COLORS[loop] for loop in loops),
        font_family="sans-serif",
        label_font_size=11,
        major_label_font_size=12,
        legend_font_size=13,
        title_font_size=15,
        value_font_size=9,
    )


def speeds(rows: list[Row], loops: list[str], path: Path) -> None:
    """How many times as fast as asyncio each loop is, by CPU time."""
    rows = [row for row in rows if row.unit == "µs" and row.cpu("asyncio")]
    chart = pygal.HorizontalBar(
        style=_style(loops),
        title="How many times asyncio's speed, by CPU time (longer is better)",
        width=900,
        height=110 + 11 * len(rows) * len(loops),
        legend_at_bottom=True,
        legend_at_bottom_columns=len(loops),
        js=[],
        print_values=True,
        formatter=lambda value: f"{value:.1f}" if value else "",
        show_x_guides=True,
        spacing=8,
    )
    chart.x_labels = [row.name for row in reversed(rows)]
    for loop in loops:
        values = []
        for row in reversed(rows):
            ratios = row.ratios("asyncio", loop)
            values.append(round(median(ratios), 2) if ratios else None)
        chart.add(loop, values)
    chart.render_to_file(str(path))


def growth(series: dict[str, dict[int, Row]], loops: list[str], path: Path) -> None:
    """What one operation costs among so many things, as a multiple of what it costs among the fewest."""
    chart = pygal.Line(
        style=_style([loop for _ in series for loop in loops]),
        title="Growth: the cost of one, over the cost of one among the fewest (flat is best)",
        width=900,
        height=450,
        js=[],
        legend_at_bottom=True,
        legend_at_bottom_columns=len(loops),
        truncate_legend=-1,
        show_y_guides=True,
        value_formatter=lambda value: f"{value:.2f}",
    )
    chart.x_labels = ["10", "1,000", "the most"]
    dashes = ["", "8,4", "2,3", "10,3,2,3"]
    for number, (name, sizes) in enumerate(series.items()):
        for loop in loops:
            costs = [row.cpu(loop) for row in sizes.values()]
            first = costs[0]
            values = [cost / first if cost and first else None for cost in costs]
            chart.add(f"{loop}, {name}", values, stroke_style={"width": 2, "dasharray": dashes[number % len(dashes)]})
    chart.render_to_file(str(path))


SHOWN = (
    "sleep(0)",
    "create a task and await it",
    "gather of 10",
    "TaskGroup of 10",
    "wait_for",
    "timeout",
    "a lock handed over",
    "a queue, to and fro",
    "call_soon, one a turn",
    "call_soon, 1,000 a turn",
    "call_soon_threadsafe",
    "timers cancelled",
    "timers fired",
    "an executor, there and back",
    "a connection opened and closed",
    "protocol, 64 x 1 KiB",
    "protocol, 64 x 100 KiB",
    "streams, 64 x 1 KiB",
    "streams, 64 x 100 KiB",
    "protocol over TLS, 64 x 1 KiB",
    "UDP, 64 x 1 KiB",
    "begin `true` and wait for it",
    "uvicorn and FastAPI, a request",
    "aiohttp client and server: the crawl, a page",
    "asyncpg, a query",
)
"""The rows of the picture: of each kind those that programs meet, whatever comes out."""


def selected(rows: list[Row]) -> list[Row]:
    """Those that the picture has room for."""
    return [row for row in rows if row.name in SHOWN]


def by_size(rows: list[Row]) -> dict[str, dict[int, Row]]:
    """The rows about growth: for each kind of thing, by how many of them."""
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.group == "growth":
            kind, _, size = row.name.partition(", ")
            found.setdefault(kind, {})[int(size.replace(",", ""))] = row
    return found


def order(loops: list[str]) -> list[str]:
    """The loops in the order of the legend."""
    return [name for name in NAMES if name in loops]
