"""The next item is made while its user works with the last."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each of them made in a thread while its user works with the one before.

    Signals come to the main thread alone. So Ctrl-C never breaks into an iterator of TensorFlow, which would free
    memory twice (TensorFlow 2.21, in `execution_mode`) and abort the process.

    Args:
        items: What is not None.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
