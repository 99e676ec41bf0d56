"""What a type checker must refuse: each wrong line names its complaint, and one without it fails the check."""

import asyncio

import riata


async def number() -> int:
    return 1


async def refused() -> None:
    queue: riata.Queue[int] = riata.Queue()
    queue.put_nowait("x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    future: riata.Future[int] = riata.Future()
    future.set_result("x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    task: riata.Task[str] = riata.Task(number())  # type: ignore[arg-type] # pyright: ignore[reportAssignmentType]
    one, two = await riata.gather(number(), task)
    one.upper()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    two.upper()
    riata.Lock(loop=asyncio.get_running_loop())  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    await riata.sleep("1")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    riata.run(number)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
