"""No method of asyncio's is left to an abstract base class that raises NotImplementedError."""

import asyncio
import contextlib
from asyncio import selector_events, sslproto, unix_events
from collections.abc import Callable

import pytest

from riata import _native

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def abstract_methods(base: type) -> list[str]:
    return [name for name, method in vars(base).items() if callable(method) and not name.startswith("__")]


def test_every_method_of_loops_is_there(loop_factory: LoopFactory) -> None:
    base = asyncio.AbstractEventLoop
    with contextlib.closing(loop_factory()) as loop:
        left = [name for name in abstract_methods(base) if getattr(type(loop), name) is vars(base)[name]]
    assert left == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (_native.StreamTransport, selector_events._SelectorSocketTransport),  # type: ignore[attr-defined]
        (_native.TlsTransport, sslproto._SSLProtocolTransport),
        (_native.DatagramTransport, selector_events._SelectorDatagramTransport),  # type: ignore[attr-defined]
        (_native.ReadPipeTransport, unix_events._UnixReadPipeTransport),  # type: ignore[attr-defined]
        (_native.WritePipeTransport, unix_events._UnixWritePipeTransport),  # type: ignore[attr-defined]
    ],
)
def test_transports_have_what_asyncios_have(ours: type, theirs: type) -> None:
    public = {name for name in dir(theirs) if not name.startswith("_")}
    assert public - set(dir(ours)) == set()
