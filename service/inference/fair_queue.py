"""A fair queue: within a lane first come, first served; over lanes one item each in turn. Its user does the locking."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from itertools import islice, zip_longest
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
NOTHING: Any = object()


class FairQueue(Generic[Item]):
    """Items waiting in lanes. A lane is named by any hashable and exists while something waits in it."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Item]] = {}
        self._turn: deque[Hashable] = deque()  # lanes with something waiting; the next in turn is first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, lane: Hashable, item: Item) -> None:
        """At the end of its lane."""
        if lane not in self._waiting:
            self._waiting[lane] = deque()
            self._turn.append(lane)
        self._waiting[lane].append(item)
        self._count += 1

    def take(self, count: int) -> list[Item]:
        """The next ``count`` items, at most those that wait."""
        return [self._next() for _ in range(min(count, self._count))]

    def peek(self, count: int) -> list[Item]:
        """What `take` would give now."""
        rounds = zip_longest(*(self._waiting[lane] for lane in self._turn), fillvalue=NOTHING)
        return list(islice((item for row in rounds for item in row if item is not NOTHING), count))

    def drop(self, lane: Hashable) -> list[Item]:
        """All items of a lane, which is empty then."""
        if lane not in self._waiting:
            return []
        self._turn.remove(lane)
        items = list(self._waiting.pop(lane))
        self._count -= len(items)
        return items

    def discard(self, is_dead: Callable[[Item], bool]) -> None:
        """Drop the items that nobody waits for any more."""
        for lane, items in list(self._waiting.items()):
            alive = deque(item for item in items if not is_dead(item))
            self._count -= len(items) - len(alive)
            self._waiting[lane] = alive
            if not alive:
                self.drop(lane)

    def _next(self) -> Item:
        lane = self._turn.popleft()
        items = self._waiting[lane]
        item = items.popleft()
        self._count -= 1
        if items:
            self._turn.append(lane)
        else:
            del self._waiting[lane]
        return item
