"""The spider: people in the site's order, their photos in the gallery's order, until there are enough."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import scrapy

from bolid.data.collect.fetch import Fetcher, NotHad
from bolid.data.collect.journal import KEPT, Journal, Row
from bolid.data.collect.pages import Candidate, Person
from bolid.data.collect.photo import Photo, folder_name, store
from bolid.data.collect.settings import AT_ONCE
from bolid.data.collect.sources import Source

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Wanted:
    """Settings of what to collect.

    Attributes:
        people: Number of people with at least `at_least` photos; None for all.
        names: Names of people, the first of each name; empty for all.
        photos: Most photos of a person.
        at_least: People with fewer photos by the site's count are left out, and those with fewer in the end do not
            count.
        min_size: Least length of a photo's shortest side in pixels.
    """

    people: int | None = None
    names: list[str] = field(default_factory=list)
    photos: int = 500
    at_least: int = 1
    min_size: int = 1000

    def small(self, size: tuple[int, int] | None) -> str:
        """The row's status of a too small photo; empty if it is large enough, or its size is unknown."""
        if size is None or min(size) >= self.min_size:
            return ""
        return f"small: {size[0]}x{size[1]} < {self.min_size}"


@dataclass
class Job:
    """The state of a run.

    Attributes:
        source: Source of people and photos.
        wanted: Settings of what to collect.
        journal: Journal of the folder.
        encoding: Encoding of pages that do not declare theirs.
        seen: Called with the person and the number of photos after each.
        plan: For a dry run, a line on each person; None where photos are loaded.
        people: Folder name -> number of photos kept, of visited people.
        trouble: Unreadable pages with reasons, and unknown names.
        error: Error that ended the run, if any.
        ended: Scrapy's reason for the end.
    """

    source: Source
    wanted: Wanted
    journal: Journal
    encoding: str = ""
    seen: Callable[[str, int], None] = lambda person, photos: None
    plan: list[str] | None = None
    people: dict[str, int] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    error: Exception | None = None
    ended: str = ""


class PeopleSpider(scrapy.Spider):
    """Collects photos in a fixed order, whatever arrives first, so that an interrupted run gives the same files.

    Args:
        job: State of the run.
    """

    name = "people"

    def __init__(self, job: Job, **more: Any):
        super().__init__(**more)
        self.job, self.journal, self.wanted = job, job.journal, job.wanted

    async def start(self) -> AsyncIterator[Any]:
        """Executes the whole run by Scrapy's downloader, without its scheduler."""
        self.fetcher = Fetcher(self.crawler, self.job.encoding)
        try:
            await self.run()
        except Exception as error:
            self.job.error = error
        return
        yield

    def closed(self, reason: str) -> None:
        """Records the reason of the end: `finished`, or `shutdown` after Ctrl-C."""
        self.job.ended = reason

    async def run(self) -> None:
        """Iterates over people."""
        names = {folder_name(name).casefold() for name in self.wanted.names}
        missing = set(names)
        async for person in self.job.source.people(self.page):
            name = folder_name(person.name)
            if (names and name.casefold() not in names) or self.journal.is_forgotten(person.address or person.name):
                continue
            identity = self.journal.folder_of(name, person.address or person.name)
            await (self.collect if self.job.plan is None else self.look)(person, identity)
            self.job.people[identity] = self.journal.kept[identity]
            enough = sum(count >= self.wanted.at_least for count in self.job.people.values())
            missing.discard(name.casefold())
            if (names and not missing) or (self.wanted.people is not None and enough >= self.wanted.people):
                return
        absent = [name for name in self.wanted.names if folder_name(name).casefold() in missing]
        self.job.trouble += [f"no person is called {name}" for name in absent]

    async def page(self, address: str) -> Any:
        """A page of the site; None with a note if it cannot be downloaded."""
        try:
            return await self.fetcher.page(address)
        except NotHad as error:
            self.job.trouble.append(f"{address}: {error}")
            return None

    async def photos(self, person: Person) -> AsyncIterator[Candidate]:
        """A person's undecided photos, without duplicates."""
        seen: set[str] = set()
        async for candidate in self.job.source.photos(person, self.page, self.wanted.at_least):
            if candidate.key not in seen and not self.journal.decided(candidate.key):
                seen.add(candidate.key)
                yield candidate

    async def collect(self, person: Person, identity: str) -> None:
        """Loads a person's photos up to the wanted number."""

        def room() -> int:
            return min(AT_ONCE, self.wanted.photos - self.journal.kept[identity])

        async def load(candidate: Candidate) -> tuple[Candidate, Photo | str]:
            return await self.load(candidate)

        self.job.seen(identity, self.journal.kept[identity])
        async for candidate, found in in_order(self.photos(person), load, room):
            self.decide(identity, candidate, found)
            self.job.seen(identity, self.journal.kept[identity])

    async def look(self, person: Person, identity: str) -> None:
        """Counts a person's photos, for a dry run."""
        have, new = self.journal.kept[identity], 0
        async for _ in self.photos(person):
            new += 1
            if have + new >= self.wanted.photos:
                break
        said = "" if person.count is None else f", {person.count} by the site's count"
        assert self.job.plan is not None
        self.job.plan.append(f"{identity}: {have} here, {new} to load{said}")

    async def load(self, candidate: Candidate) -> tuple[Candidate, Photo | str]:
        """Reads a photo's page if needed, and the photo; a row's status in case of failure."""
        try:
            known, candidate = candidate.key, await self.job.source.full(candidate, self.photo_page)
            if not candidate.address:
                return candidate, "wrong: its page shows no picture that the description knows"
            if status := self.wanted.small(candidate.size):
                return candidate, status
            if candidate.address != known and self.journal.decided(candidate.address):
                return candidate, "duplicate: its address is known"
            return candidate, await self.fetcher.photo(candidate.address)
        except NotHad as error:
            return candidate, str(error)

    async def photo_page(self, address: str) -> Any:
        """A photo's own page, whose tags may forbid the photo."""
        return await self.fetcher.page(address, photo=True)

    def decide(self, identity: str, candidate: Candidate, found: Photo | str) -> None:
        """Keeps or rejects a photo, and writes its row."""
        name: str = ""
        about: dict[str, Any] = {"size": candidate.size, "licence": candidate.licence}
        status = found if isinstance(found, str) else self.wanted.small(found.size)
        if isinstance(found, Photo):
            about |= {"sha256": found.sha256, "bytes": len(found.content), "size": found.size}
            if not status and found.sha256 in self.journal.by_hash:
                status = f"duplicate: of {self.journal.by_hash[found.sha256].file_name}"
            if not status:
                status, name = KEPT, store(self.journal.folder, identity, found)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        self.journal.add(Row(identity, candidate.address, candidate.page, status, time, name, **about))


async def in_order(
    items: AsyncIterator[T], work: Callable[[T], Awaitable[R]], room: Callable[[], int]
) -> AsyncIterator[R]:
    """Yields the results of concurrent work in the order of the items.

    Args:
        items: Items, requested only while there is room.
        work: Done to each.
        room: Function to the number of concurrent items; 0 once there are enough.
    """
    waiting: deque[asyncio.Future[R]] = deque()
    more = True
    try:
        while True:
            while more and len(waiting) < room():
                try:
                    waiting.append(asyncio.ensure_future(work(await anext(items))))
                except StopAsyncIteration:
                    more = False
            if not waiting:
                return
            yield await waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()
