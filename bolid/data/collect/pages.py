"""Extracts people, photos and full images from a site's pages by its description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bolid.data.collect.site import XPATH, Site

if TYPE_CHECKING:
    from parsel import Selector, SelectorList
    from scrapy.http import TextResponse

ATTRIBUTES = ("href", "src", "data-src", "data-original")  # attributes with an address; lazy-loading ones last
SIZE = re.compile(r"(\d{2,6})\s*[x×хХX*]\s*(\d{2,6})")  # the Cyrillic letter, too
MAX_ADDRESS = 2000  # characters
MAX_PAGES = 1000  # of one gallery


@dataclass(frozen=True)
class Person:
    """A person on a list.

    Attributes:
        name: As the list has it.
        address: Address of the gallery's first page; empty in a list of addresses.
        count: Photos that the site says there are.
    """

    name: str
    address: str = ""
    count: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A candidate photo.

    Attributes:
        address: Address of the full image; empty if only its page has it.
        page: The photo's own page, or the page on which it is shown.
        thumbnail: Address that its thumbnail gives.
        size: Width and height in pixels, if given.
        licence: Note on its licence.
    """

    address: str
    page: str = ""
    thumbnail: str = ""
    size: tuple[int, int] | None = None
    licence: str = ""

    @property
    def key(self) -> str:
        """The key of a photo before it is loaded: its address, or its page."""
        return self.address or self.page


def select(node: Selector | TextResponse, query: str) -> SelectorList:
    """The matches of a CSS or XPath selector; none for an empty one."""
    if query.startswith(XPATH):
        return node.xpath(query.removeprefix("xpath:"))
    return node.css(query or ":not(*)")


def text_of(node: Selector | TextResponse, query: str) -> str:
    """The text of a selector's matches, in one line."""
    found = select(node, query)
    return " ".join(
        " ".join(part.root if isinstance(part.root, str) else part.xpath("string()").get("") for part in found).split()
    )


def address_of(part: Selector, page: TextResponse) -> str:
    """The absolute address in an element, attribute or text; empty if there is none."""
    if isinstance(part.root, str):
        values = [part.root]
    else:
        values = [part.attrib[name] for name in ATTRIBUTES if part.attrib.get(name)]
    usable = [
        value.strip()
        for value in values
        if value.strip() and not value.strip().startswith(("data:", "#", "javascript:"))
    ]
    try:
        address = page.urljoin(usable[0]).partition("#")[0] if usable else ""
        return address if len(address) <= MAX_ADDRESS and urlsplit(address).hostname else ""
    except ValueError:  # an address that cannot be parsed, such as http://[
        return ""


def addresses(node: Selector | TextResponse, query: str, page: TextResponse) -> list[str]:
    """The absolute addresses of a selector's matches, unique, in order."""
    return list(dict.fromkeys(filter(None, (address_of(part, page) for part in select(node, query)))))


def number(text: str) -> int | None:
    """The first number in a text; digits may be grouped by spaces, as in `1 234 photos`."""
    found = re.search(r"\d{1,3}(?:[ \u00a0]\d{3})+(?!\d)|\d{1,9}", text)
    return int(re.sub(r"\D", "", found[0])) if found else None


def size(text: str) -> tuple[int, int] | None:
    """Width and height in a text such as `1200 x 1600`."""
    found = SIZE.search(text)
    return (int(found[1]), int(found[2])) if found else None


class Reader:
    """Parses the pages of one site.

    Args:
        site: Its description.
    """

    def __init__(self, site: Site):
        self.site = site
        self.hosts = {_bare(urlsplit(address).hostname or "") for address in site.start} | {
            _bare(h) for h in site.hosts
        }

    def belongs(self, address: str) -> bool:
        """Whether an address is on the site's hosts, or on one below them."""
        host = urlsplit(address).hostname or ""
        return any(host == own or host.endswith("." + own) for own in self.hosts)

    def people(self, page: TextResponse) -> list[Person]:
        """The people on a list page, in order."""
        found: dict[str, Person] = {}
        where = self.site.people
        for card in select(page, where.card) if where.card else [page]:
            count = number(text_of(card, where.count)) if where.count else None
            for link in select(card, where.person):
                address = address_of(link, page)
                if name := _name(link):
                    found.setdefault(address, Person(name, address, count))
        return [person for address, person in found.items() if address and self.belongs(address)]

    def more(self, page: TextResponse) -> list[str]:
        """Further list pages."""
        return [address for address in addresses(page, self.site.people.more, page) if self.belongs(address)]

    def photos(self, page: TextResponse) -> list[Candidate]:
        """The photos on a gallery's page, in order."""
        found: dict[str, Candidate] = {}
        where = self.site.gallery
        for card in select(page, where.card) if where.card else [page]:
            size_given = size(text_of(card, where.size)) if where.size else None
            for link in select(card, where.photo):
                candidate = self._candidate(link, page, size_given)
                if candidate is not None:
                    found.setdefault(candidate.key, candidate)
        return list(found.values())

    def _candidate(self, link: Selector, page: TextResponse, size_given: tuple[int, int] | None) -> Candidate | None:
        target, rewrites = address_of(link, page), self.site.picture.thumbnail
        images = [] if isinstance(link.root, str) else addresses(link, "img", page)
        thumbnail = next(filter(None, (self.rewritten(address) for address in images or [target])), "")
        if self.site.picture.full:
            return Candidate("", target, thumbnail, size_given) if target and self.belongs(target) else None
        address = thumbnail if rewrites else target
        return Candidate(address, page.url, "", size_given, self.site.licence) if address else None

    def rewritten(self, thumbnail: str) -> str:
        """The full image's address from a thumbnail's; empty if no pattern matches."""
        address = thumbnail
        for rule in self.site.picture.thumbnail:
            address = re.sub(rule.pattern, rule.replacement, address)
        return address if address != thumbnail else ""

    def pages(self, page: TextResponse) -> list[str]:
        """Further pages of a gallery: those linked, or all up to the largest number among the links."""
        links = [address for address in addresses(page, self.site.gallery.pages, page) if self.belongs(address)]
        if not self.site.gallery.page_number:
            return links[:MAX_PAGES]
        found = [
            m for address in links if (m := re.search(self.site.gallery.page_number, address)) and m[1].isdecimal()
        ]
        last = max(found, key=lambda m: int(m[1]), default=None)
        if last is None:
            return []
        head, tail = last.string[: last.start(1)], last.string[last.end(1) :]
        return [f"{head}{number}{tail}" for number in range(2, min(int(last[1]), MAX_PAGES) + 1)]

    def count(self, page: TextResponse) -> int | None:
        """The number of photos given on a gallery's page."""
        return number(text_of(page, self.site.gallery.count)) if self.site.gallery.count else None

    def full(self, candidate: Candidate, page: TextResponse) -> Candidate:
        """The candidate with the content of its own page: full image, size, licence."""
        found = (address for query in self.site.picture.full for address in addresses(page, query, page))
        size_given = size(text_of(page, self.site.picture.size)) if self.site.picture.size else None
        licence = page.xpath('//*[@rel="license" or @rel="licence"]/@href').get("")[:MAX_ADDRESS]
        return Candidate(
            next(found, candidate.thumbnail), candidate.page, candidate.thumbnail, size_given or candidate.size,
            licence or self.site.licence,
        )  # fmt: skip


def _bare(host: str) -> str:
    return host.lower().removeprefix("www.")


def _name(link: Selector) -> str:
    """A link's text, else its title, else the alt text of its image."""
    if isinstance(link.root, str):
        return ""
    texts = (link.xpath("string()").get(""), link.attrib.get("title", ""), link.xpath(".//img/@alt").get(""))
    return next((clean for text in texts if (clean := " ".join(text.split()))), "")[:200]
