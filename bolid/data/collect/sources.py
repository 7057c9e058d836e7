"""Sources of people and photos: a site's pages, or a list of addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from bolid.data.collect.listing import read_list
from bolid.data.collect.pages import Candidate, Person, Reader
from bolid.data.collect.site import Site

MAX_LISTS = 10_000  # list pages of a site
Fetch = Callable[[str], Awaitable[Any]]  # gives a page as Scrapy's TextResponse


class Source(Protocol):
    """A source of photos."""

    def people(self, fetch: Fetch) -> AsyncIterator[Person]:
        """People in a stable order."""
        ...

    def photos(self, person: Person, fetch: Fetch, least: int) -> AsyncIterator[Candidate]:
        """A person's photos in the site's order; none if the site's count is below `least`."""
        ...

    async def full(self, candidate: Candidate, fetch: Fetch) -> Candidate:
        """The candidate with the full image's address, for which its page may have to be read."""
        ...


class SiteSource:
    """A paginated gallery site.

    Args:
        site: Its description.
    """

    def __init__(self, site: Site):
        self.site, self.reader = site, Reader(site)

    async def people(self, fetch: Fetch) -> AsyncIterator[Person]:
        """The people of all list pages, without duplicates; names are those of the first page."""
        waiting, seen = list(self.site.start), set(self.site.start)
        named: set[str] = set()
        while waiting:
            page = await fetch(waiting.pop(0))
            if page is None:
                continue
            for address in self.reader.more(page):
                if address not in seen and len(seen) < MAX_LISTS:
                    seen.add(address)
                    waiting.append(address)
            for person in self.reader.people(page):
                if person.address not in named:
                    named.add(person.address)
                    yield person

    async def photos(self, person: Person, fetch: Fetch, least: int) -> AsyncIterator[Candidate]:
        """The photos of all pages of a gallery."""
        waiting, seen = [person.address], {person.address}
        total = person.count
        while waiting and (total is None or total >= least):
            page = await fetch(waiting.pop(0))
            if page is None:
                continue
            total = self.reader.count(page) or total
            if total is not None and total < least:
                return
            new = [address for address in self.reader.pages(page) if address not in seen]
            seen.update(new)
            waiting += new
            for candidate in self.reader.photos(page):
                yield candidate

    async def full(self, candidate: Candidate, fetch: Fetch) -> Candidate:
        """Reads the photo's page if the description has selectors for it."""
        if candidate.address:
            return candidate
        return self.reader.full(candidate, await fetch(candidate.page))


class ListSource:
    """A list of addresses.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self.found = read_list(path)

    async def people(self, fetch: Fetch) -> AsyncIterator[Person]:
        """The people of the list."""
        for name, photos in self.found.items():
            yield Person(name, count=len(photos))

    async def photos(self, person: Person, fetch: Fetch, least: int) -> AsyncIterator[Candidate]:
        """The photos that the list has of a person."""
        if len(self.found[person.name]) >= least:
            for candidate in self.found[person.name]:
                yield candidate

    async def full(self, candidate: Candidate, fetch: Fetch) -> Candidate:
        """The candidate itself, which is complete."""
        return candidate
