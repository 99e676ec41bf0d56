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


LEGEND = {"riata": "riata, loop", "installed": "riata installed"}
"""What the loops are called in legends; the others by their names."""


def _style(loops: list[str]) -> Style:
    return Style(
        background="white",
        plot_background="white",
        colors=tuple(COLORS[loop] for loop in loops),
        font_family="sans-serif",
        label_font_size=11,
        major_label_font_size=11,
        legend_font_size=12,
        title_font_size=15,
        value_font_size=9,
        opacity="1",
        guide_stroke_color="#e4e4e4",
        major_guide_stroke_color="#cccccc",
        guide_stroke_dasharray="0",
        major_guide_stroke_dasharray="0",
    )


def _bars(title: str, names: list[str], values: dict[str, list[float | None]], form: str) -> pygal.HorizontalBar:
    """Horizontal bars from above, a group for each name."""
    loops = list(values)
    chart = pygal.HorizontalBar(
        style=_style(loops),
        title=title,
        width=900,
        height=110 + 11 * len(names) * len(loops),
        legend_at_bottom=True,
        legend_at_bottom_columns=len(loops),
        truncate_legend=-1,
        js=[],
        print_values=True,
        print_values_position="top",
        # Beside the bar's end, and not across it.
        css=["file://style.css", "file://graph.css", "inline:.text-overlay text { text-anchor: start !important; }"],
        margin_right=40,
        formatter=lambda value: format(value, form) if value else "",
        show_x_guides=True,
        show_y_guides=False,
        spacing=8,
    )
    chart.x_labels = names[::-1]
    for loop in loops:
        chart.add(LEGEND.get(loop, loop), values[loop][::-1])
    return chart


def speeds(rows: list[Row], loops: list[str], path: Path) -> None:
    """How many times as fast as asyncio each loop is, by CPU time."""
    rows = [row for row in rows if row.unit == "µs" and row.cpu("asyncio")]
    values: dict[str, list[float | None]] = {}
    for loop in loops:
        ratios = (row.ratios("asyncio", loop) for row in rows)
        values[loop] = [round(median(found), 2) if found else None for found in ratios]
    title = "How many times asyncio's speed, by CPU time (longer is better)"
    _bars(title, [row.name for row in rows], values, ".1f").render_to_file(str(path))


def memory(rows: list[Row], loops: list[str], path: Path) -> None:
    """What one thing takes."""
    rows = [row for row in rows if row.unit == "bytes"]
    values = {loop: [row.cpu(loop) for row in rows] for loop in loops}
    _bars("Bytes of memory (shorter is better)", [row.name for row in rows], values, ",.0f").render_to_file(str(path))


WIDTH, HEIGHT = 450, 330
"""Of one picture of growth; there are two side by side."""

GROWTH_TITLES = {
    "tasks": "a step of one of so many tasks, µs",
    "timers": "a timer set and cancelled among so many, µs",
    "waiters": "a lock handed over along so many waiters, µs",
    "connections": "1 KiB echoed among so many connections, µs",
}


def growth(series: dict[str, dict[int, Row]], loops: list[str], path: Path) -> None:
    """What one operation costs among so many things: a picture for each kind of them."""
    pictures = []
    for number, (name, sizes) in enumerate(series.items()):
        chart = pygal.Line(
            style=_style(loops),
            title=GROWTH_TITLES.get(name, name),
            width=WIDTH,
            height=HEIGHT,
            js=[],
            legend_at_bottom=True,
            legend_at_bottom_columns=3,
            truncate_legend=-1,
            show_y_guides=True,
            range=(0, max(row.cpu(loop) or 0 for row in sizes.values() for loop in loops)),
            max_scale=6,
            stroke_style={"width": 2},
            value_formatter=lambda value: f"{value:g}",
        )
        chart.config.style.title_font_size = 13
        chart.x_labels = [f"{size:,}" for size in sizes]
        for loop in loops:
            chart.add(LEGEND.get(loop, loop), [row.cpu(loop) for row in sizes.values()])
        # Its own viewBox scales it into the place.
        place = f'x="{WIDTH * (number % 2)}" y="{HEIGHT * (number // 2)}" width="{WIDTH}" height="{HEIGHT}"'
        pictures.append(
            chart.render(is_unicode=True, disable_xml_declaration=True).replace("<svg ", f"<svg {place} ", 1)
        )
    box = f"0 0 {2 * WIDTH} {HEIGHT * ((len(pictures) + 1) // 2)}"
    whole = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{2 * WIDTH}">{"".join(pictures)}</svg>'
    path.write_text(whole)


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
