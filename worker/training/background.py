"""Work that a rank has done while it trains: one piece at a time, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Does what it is given, and says in the caller's own thread when it is done.

    What work raises is raised by the next method that is called here.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
        self._open: deque[tuple[Future[Any] | None, Callable[[Any], None]]] = deque()

    @property
    def busy(self) -> bool:
        """Whether something is still to be called."""
        return bool(self._open)

    def begin(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Start `work` when all before it is done, and call `then` with what it gave.

        `then` is called by one of this object's methods, in the order of beginning.
        """
        self.wait()
        self._open.append((self._thread.submit(work), then))

    def after(self, then: Callable[[], None]) -> None:
        """Call `then` once all that was begun is done: now, where it is."""
        self._open.append((None, lambda _: then()))
        self.look()

    def look(self) -> None:
        """Take note of what is done by now."""
        while self._open:
            work, then = self._open[0]
            if work is not None and not work.done():
                return
            self._open.popleft()
            then(work.result() if work is not None else None)

    def wait(self) -> None:
        """Wait until all is done."""
        for work, _ in list(self._open):
            if work is not None:
                work.exception()  # which waits, and raises nothing
        self.look()
