"""A fair queue: owners take turns, one item each; an owner's items keep their order. Its user does the locking."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from itertools import islice, zip_longest
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
MISSING: Any = object()


class FairQueue(Generic[Item]):
    """Items that wait, by owner. An owner is any hashable object; it is forgotten once nothing of it waits."""

    def __init__(self) -> None:
        self._items: dict[Hashable, deque[Item]] = {}
        self._turns: deque[Hashable] = deque()  # owners with something waiting; the next in turn is first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, owner: Hashable, item: Item) -> None:
        """Add an item behind those of its owner."""
        if owner not in self._items:
            self._items[owner] = deque()
            self._turns.append(owner)
        self._items[owner].append(item)
        self._count += 1

    def take(self, count: int) -> list[Item]:
        """Remove and return the next ``count`` items, or all where fewer wait."""
        return [self._next() for _ in range(min(count, self._count))]

    def peek(self, count: int) -> list[Item]:
        """What `take` would return now."""
        rounds = zip_longest(*(self._items[owner] for owner in self._turns), fillvalue=MISSING)
        return list(islice((item for row in rounds for item in row if item is not MISSING), count))

    def drop(self, owner: Hashable) -> list[Item]:
        """Remove and return all items of an owner."""
        if owner not in self._items:
            return []
        self._turns.remove(owner)
        items = list(self._items.pop(owner))
        self._count -= len(items)
        return items

    def discard(self, is_dead: Callable[[Item], bool]) -> None:
        """Remove the items that nobody waits for any more."""
        for owner, items in list(self._items.items()):
            alive = deque(item for item in items if not is_dead(item))
            self._count -= len(items) - len(alive)
            self._items[owner] = alive
            if not alive:
                self.drop(owner)

    def _next(self) -> Item:
        owner = self._turns.popleft()
        items = self._items[owner]
        item = items.popleft()
        self._count -= 1
        if items:
            self._turns.append(owner)
        else:
            del self._items[owner]
        return item
