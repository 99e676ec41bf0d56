"""Step 2: the workers are tasks, with asyncio's queue and no lock. `requests.get` suspends the one that calls it."""

import riata.gevent

riata.gevent.install()  # before anything of gevent's is used

from gevent import monkey

monkey.patch_all()

import asyncio
import sys

import requests


async def crawl(start: str, workers: int = 5) -> dict[str, int]:
    found, queue = {start: 0}, asyncio.Queue[str]()

    async def work() -> None:
        while True:
            url = await queue.get()
            try:
                text = requests.get(url, timeout=10).text  # other tasks go on
                found[url] = len(text)
                for link in links(url, text):
                    if link not in found:
                        found[link] = 0
                        queue.put_nowait(link)
            finally:
                queue.task_done()

    queue.put_nowait(start)
    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    await queue.join()
    for task in tasks:
        task.cancel()
    return found


def links(url: str, text: str) -> list[str]:
    base = url.rpartition("/")[0]
    return [f"{base}/{word}" for word in text.split() if word.endswith(".txt")]


async def main() -> None:
    for page, size in sorted((await crawl(sys.argv[1])).items()):
        print(page.rpartition("/")[2], size)


if __name__ == "__main__":
    riata.run(main())
