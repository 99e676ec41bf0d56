"""Step 3: aiohttp in the place of `requests`, and gevent is gone."""

import asyncio
import sys

import aiohttp

import riata


async def crawl(start: str, workers: int = 5) -> dict[str, int]:
    found, queue = {start: 0}, asyncio.Queue[str]()

    async def work(session: aiohttp.ClientSession) -> None:
        while True:
            url = await queue.get()
            try:
                async with session.get(url) as response:
                    text = await response.text()
                found[url] = len(text)
                for link in links(url, text):
                    if link not in found:
                        found[link] = 0
                        queue.put_nowait(link)
            finally:
                queue.task_done()

    queue.put_nowait(start)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        tasks = [asyncio.create_task(work(session)) for _ in range(workers)]
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
