"""`gather` and `as_completed` for type checkers: asyncio's, with a limit of how many coroutines run at a time.

They are native functions of `riata._native`; no module has this name.
"""

import asyncio
from asyncio.tasks import _FutureLike
from collections.abc import Iterable
from typing import Literal, TypeVar, overload

from riata._native import _AsCompletedIterator

_T = TypeVar("_T")
_T1 = TypeVar("_T1")
_T2 = TypeVar("_T2")
_T3 = TypeVar("_T3")
_T4 = TypeVar("_T4")
_T5 = TypeVar("_T5")
_T6 = TypeVar("_T6")

def as_completed(
    fs: Iterable[_FutureLike[_T]], *, timeout: float | None = None, limit: int | None = None
) -> _AsCompletedIterator[_T]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    c1: _FutureLike[_T1],
    /,
    *,
    return_exceptions: Literal[False] = False,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1]]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    /,
    *,
    return_exceptions: Literal[False] = False,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1, _T2]]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    /,
    *,
    return_exceptions: Literal[False] = False,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1, _T2, _T3]]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    c4: _FutureLike[_T4],
    /,
    *,
    return_exceptions: Literal[False] = False,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1, _T2, _T3, _T4]]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    c4: _FutureLike[_T4],
    c5: _FutureLike[_T5],
    /,
    *,
    return_exceptions: Literal[False] = False,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1, _T2, _T3, _T4, _T5]]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    c4: _FutureLike[_T4],
    c5: _FutureLike[_T5],
    c6: _FutureLike[_T6],
    /,
    *,
    return_exceptions: Literal[False] = False,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1, _T2, _T3, _T4, _T5, _T6]]: ...
@overload
def gather(  # type: ignore[overload-overlap]
    *coros_or_futures: _FutureLike[_T], return_exceptions: Literal[False] = False, limit: int | None = None
) -> asyncio.Future[list[_T]]: ...
@overload
def gather(
    c1: _FutureLike[_T1],
    /,
    *,
    return_exceptions: bool,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1 | BaseException]]: ...
@overload
def gather(
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    /,
    *,
    return_exceptions: bool,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1 | BaseException, _T2 | BaseException]]: ...
@overload
def gather(
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    /,
    *,
    return_exceptions: bool,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1 | BaseException, _T2 | BaseException, _T3 | BaseException]]: ...
@overload
def gather(
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    c4: _FutureLike[_T4],
    /,
    *,
    return_exceptions: bool,
    limit: int | None = None,
) -> asyncio.Future[tuple[_T1 | BaseException, _T2 | BaseException, _T3 | BaseException, _T4 | BaseException]]: ...
@overload
def gather(
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    c4: _FutureLike[_T4],
    c5: _FutureLike[_T5],
    /,
    *,
    return_exceptions: bool,
    limit: int | None = None,
) -> asyncio.Future[
    tuple[_T1 | BaseException, _T2 | BaseException, _T3 | BaseException, _T4 | BaseException, _T5 | BaseException]
]: ...
@overload
def gather(
    c1: _FutureLike[_T1],
    c2: _FutureLike[_T2],
    c3: _FutureLike[_T3],
    c4: _FutureLike[_T4],
    c5: _FutureLike[_T5],
    c6: _FutureLike[_T6],
    /,
    *,
    return_exceptions: bool,
    limit: int | None = None,
) -> asyncio.Future[
    tuple[
        _T1 | BaseException,
        _T2 | BaseException,
        _T3 | BaseException,
        _T4 | BaseException,
        _T5 | BaseException,
        _T6 | BaseException,
    ]
]: ...
@overload
def gather(
    *coros_or_futures: _FutureLike[_T], return_exceptions: bool, limit: int | None = None
) -> asyncio.Future[list[_T | BaseException]]: ...
