"""Description of a gallery site: selectors of people, pages, photos and full images, from YAML."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bolid.core.errors import BolidError

SHIPPED = (Path(__file__).parents[3] / "configs/collect", Path(__file__).parent / "sites")  # a checkout's, a wheel's
MAX_BYTES = 100_000  # of a description
XPATH = ("/", "./", "(", "xpath:")  # what starts so is XPath; all else is CSS


@dataclass(frozen=True)
class Rewrite:
    """A regular expression to replace in a thumbnail's address.

    Attributes:
        pattern: Pattern to replace.
        replacement: The replacement; `\\1` is the pattern's first group.
    """

    pattern: str
    replacement: str = ""


@dataclass(frozen=True)
class People:
    """Selectors on the pages that list people.

    Attributes:
        person: Links to people's galleries; a link's text, title or its image's alt is the name.
        card: Blocks of one person each, in which `person` and `count` are looked for; empty: the whole page is one.
        count: Selector of the number of photos in a card.
        more: Links to further list pages.
    """

    person: str
    card: str = ""
    count: str = ""
    more: str = ""


@dataclass(frozen=True)
class Gallery:
    """Selectors on the pages of one person's gallery.

    Attributes:
        photo: Links to photos' pages, or to the full images if `picture` names neither selectors nor rewrites.
        card: Blocks of one photo each, in which `photo` and `size` are looked for; empty: the whole page is one.
        size: Selector of the full image's size in a card, such as 1200x1600.
        pages: Links to the gallery's further pages.
        page_number: Regular expression whose group is the page number in the address of such a link. With it, all pages
            up to the largest number are read, linked or not; without it, the links are followed.
        count: Selector of the number of photos.
    """

    photo: str
    card: str = ""
    size: str = ""
    pages: str = ""
    page_number: str = ""
    count: str = ""


@dataclass(frozen=True)
class Picture:
    """Location of the full image.

    Attributes:
        full: Selectors of the full image on the photo's page, tried in this order. None: that page is not read.
        size: Selector of the full image's size on that page.
        thumbnail: Rewrites from the thumbnail's address to the full image's, used if `full` finds nothing. One that
            changes nothing gives no address: a thumbnail is never collected.
    """

    full: list[str] = field(default_factory=list)
    size: str = ""
    thumbnail: list[Rewrite] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """A paginated gallery site.

    Attributes:
        start: Addresses of its list pages.
        people: Selectors on them.
        gallery: Selectors on a person's pages.
        picture: Location of full images.
        hosts: Further hosts whose pages belong to the site; those of `start` and hosts below them do. Pages of others
            are not read; full images may be anywhere.
        encoding: Encoding of pages that do not declare theirs.
        licence: Note that goes into every photo's row, unless its page links to a licence (`rel="license"`).
    """

    start: list[str]
    people: People
    gallery: Gallery
    picture: Picture = field(default_factory=Picture)
    hosts: list[str] = field(default_factory=list)
    encoding: str = ""
    licence: str = ""


def find_site(name: str) -> Path:
    """The file of a description, given by path or by a shipped description's name.

    Raises:
        BolidError: If there is none; the message lists the shipped ones.
    """
    given = Path(name)
    shipped = [folder / f"{name}.yaml" for folder in SHIPPED if given.name == name]
    found = next((path for path in [given, *shipped] if path.is_file()), None)
    if found is None:
        names = sorted({path.stem for folder in SHIPPED for path in folder.glob("*.yaml")})
        raise BolidError(
            f"{name}: no such site description or list of addresses; give a YAML, CSV, JSONL or text file, or one of "
            f"{', '.join(names)}"
        )
    return found


def read_site(path: Path) -> Site:
    """Reads a description and checks it: names, types, selectors, patterns.

    Raises:
        BolidError: If something is wrong; the message names the setting.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    text = path.read_bytes()[: MAX_BYTES + 1]
    if len(text) > MAX_BYTES:
        raise BolidError(f"{path}: larger than {MAX_BYTES} bytes, which no site description is")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BolidError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BolidError(f"{path}: expected the settings start, people, gallery, picture of a site description")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Site, "site")
    try:
        found = parser.parse_object({"site": content})
        site: Site = parser.instantiate_classes(found).site
    except (ArgumentError, TypeError, ValueError) as error:
        raise BolidError(f"{path}: {' '.join(str(error).split())}") from error
    check(site, path)
    return site


def check(site: Site, path: Path) -> None:
    """Compiles every selector and pattern once.

    Raises:
        BolidError: If one does not compile, or no address is given.
    """
    if not site.start or any(not re.match(r"https?://[^/]+", address) for address in site.start):
        raise BolidError(f"{path}: start needs addresses that begin with http:// or https://")
    for name, query in queries(site).items():
        _try(f"{path}: {name}", query, compile_query)
    patterns = [(f"picture.thumbnail.{n}", rule.pattern) for n, rule in enumerate(site.picture.thumbnail)]
    for name, pattern in [*patterns, ("gallery.page_number", site.gallery.page_number)]:
        _try(f"{path}: {name}", pattern, re.compile)
    if site.gallery.page_number and re.compile(site.gallery.page_number).groups != 1:
        raise BolidError(f"{path}: gallery.page_number needs one group, around the number, as in 'page=(\\d+)'")
    if site.encoding:
        _try(f"{path}: encoding", site.encoding, codecs.lookup)


def queries(site: Site) -> dict[str, str]:
    """The given selectors by setting."""
    found = {f"people.{name}": getattr(site.people, name) for name in ("person", "card", "count", "more")}
    found |= {f"gallery.{name}": getattr(site.gallery, name) for name in ("photo", "card", "size", "pages", "count")}
    found |= {f"picture.full.{number}": query for number, query in enumerate(site.picture.full)}
    needed = {"people.person", "gallery.photo"}
    return {
        name: query for name, query in (found | {"picture.size": site.picture.size}).items() if query or name in needed
    }


def compile_query(query: str) -> None:
    """Checks a selector or pattern, and names it in the error."""
    from lxml import etree
    from parsel.csstranslator import HTMLTranslator

    if not query.strip():
        raise ValueError("a selector is needed")
    etree.XPath(query.removeprefix("xpath:") if query.startswith(XPATH) else HTMLTranslator().css_to_xpath(query))


def _try(name: str, value: str, compile: Any) -> None:
    from cssselect import SelectorError
    from lxml.etree import XPathError

    try:
        compile(value)
    except (SelectorError, XPathError, re.error, ValueError, LookupError) as error:
        raise BolidError(f"{name}: {value!r} cannot be used: {error}") from error
