"""A crawler as gevent programs are written: patched modules, greenlets, a queue, a lock."""

from gevent import monkey

monkey.patch_all()

import sys

import gevent
import gevent.lock
import gevent.queue
import requests


def crawl(start: str, workers: int = 5) -> dict[str, int]:
    found, queue, lock = {start: 0}, gevent.queue.JoinableQueue(), gevent.lock.Semaphore()

    def work() -> None:
        while True:
            url = queue.get()
            try:
                text = requests.get(url, timeout=10).text
                with lock:
                    found[url] = len(text)
                    for link in links(url, text):
                        if link not in found:
                            found[link] = 0
                            queue.put(link)
            finally:
                queue.task_done()

    queue.put(start)
    greenlets = [gevent.spawn(work) for _ in range(workers)]
    queue.join()
    gevent.killall(greenlets)
    return found


def links(url: str, text: str) -> list[str]:
    base = url.rpartition("/")[0]
    return [f"{base}/{word}" for word in text.split() if word.endswith(".txt")]


if __name__ == "__main__":
    for page, size in sorted(crawl(sys.argv[1]).items()):
        print(page.rpartition("/")[2], size)
