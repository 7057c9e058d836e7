"""Polite crawling: robots.txt, delays, back-off, and tags that forbid photos."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import StopDownload
from scrapy.extensions.throttle import AutoThrottle

from bolid.data.collect.guard import Refused

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response

AGENT = "bolid"  # our name in robots.txt and tags
PHOTO = "bolid_photo"  # marks a request in its `meta`
NO_AI = frozenset({"noai", "noimageai"})
KEEP_OUT = NO_AI | {"noindex", "noimageindex", "none"}  # none is noindex, nofollow
VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")  # directives with a colon
BUSY = (429, 503)
LONGEST_REST = 300.0  # seconds; hosts that ask for longer pauses are given up
LONGEST_DELAY = 60.0  # seconds between two requests
ALONE = "its host asks to be left alone for {:.0f} seconds; run again then"


def host_of(request: Request) -> str:
    """The host that a request goes to."""
    return urlsplit(request.url).netloc.lower()


def kept_out(values: Iterable[str], directives: Collection[str] = KEEP_OUT) -> str:
    """The first directive of `X-Robots-Tag` values or a robots meta tag that forbids us; empty if none does.

    Directives behind another robot's name, as in `googlebot: noindex`, do not count.
    """
    for value in values:
        addressee = AGENT
        for part in value.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and name not in VALUED:
                addressee, part = name.strip(), rest
            if addressee in (AGENT, "*") and part.strip() in directives:
                return part.strip()
    return ""


def objection(headers: Headers) -> str:
    """The row's status of a photo rejected by its headers; empty if it is accepted."""
    tags = [value.decode("latin-1") for value in headers.getlist("X-Robots-Tag")]
    if tag := kept_out(tags):
        return f"noai: X-Robots-Tag: {tag}"
    kind = (headers.get("Content-Type") or b"image").decode("latin-1").partition(";")[0].strip().lower()
    usable = kind.startswith("image") or kind in ("application/octet-stream", "binary/octet-stream")
    return "" if usable else f"wrong: the answer is {kind[:60]}"


def page_objection(response: Any, directives: Collection[str] = KEEP_OUT) -> str:
    """The row's status of a page whose headers or robots meta tag forbid its photos; empty if they are allowed.

    Args:
        response: The page.
        directives: What counts: on galleries `NO_AI` alone, as sites put `noindex` on all pages but the first for
            search engines' sake.
    """
    tags = [value.decode("latin-1") for value in response.headers.getlist("X-Robots-Tag")]
    names = "translate(@name, 'ROBTS', 'robts')"
    metas = response.xpath(f"//meta[{names}='robots' or {names}='{AGENT}']/@content").getall()
    tag = kept_out(tags, directives) or kept_out(metas, directives)
    return f"noai: its page says {tag}" if tag else ""


class Gate:
    """Stops the download of a photo that its headers reject, before its body."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Gate:
        """As Scrapy makes it."""
        gate = cls()
        crawler.signals.connect(gate.headers_received, signals.headers_received)
        return gate

    def headers_received(self, headers: Headers, request: Request) -> None:
        """Scrapy's signal.

        Raises:
            StopDownload: If the headers reject it; the response has no body.
        """
        if request.meta.get(PHOTO) and objection(headers):
            raise StopDownload(fail=False)


@dataclass(frozen=True)
class Unknown:
    """The rules of a robots.txt that cannot be fetched.

    Attributes:
        why: For a row's status.
    """

    why: str


class Robots(RobotsTxtMiddleware):
    """Follows RFC 9309: a missing robots.txt allows all, an unreachable one nothing."""

    def process_request_2(self, rules: Any, request: Request) -> None:
        """Scrapy's check, and ours if the rules are unknown.

        Raises:
            Refused: If the robots.txt is unreachable, or forbids the request.
        """
        if isinstance(rules, Unknown):
            raise Refused(rules.why)
        super().process_request_2(rules, request)

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if response.status >= 500:
            self._robots_error(ConnectionError(f"HTTP {response.status}"), netloc)
            return
        body = response.body if response.status < 400 else b""
        await super()._parse_robots(response.replace(body=body), netloc, request)

    def _robots_error(self, error: Exception, netloc: str) -> None:
        about = f"its robots.txt cannot be had ({type(error).__name__}: {' '.join(str(error).split())[:80]})"
        waiting: Any = self._parsers[netloc]
        rules: Any = Unknown(str(error) if isinstance(error, Refused) else about)
        self._parsers[netloc] = rules
        waiting.callback(rules)


class Rest:
    """Pauses hosts that answered 429 or 503; the last middleware before a request is sent.

    Args:
        crawler: Scrapy's crawler, whose `Throttle` has the end of the pause.
    """

    def __init__(self, crawler: Crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Rest:
        """As Scrapy makes it."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Waits for the end of a host's pause.

        Raises:
            Refused: If it asks for a pause longer than `LONGEST_REST`.
        """
        throttle = self.crawler.get_extension(Throttle)
        assert throttle is not None
        while (rest := throttle.until.get(host_of(request), 0.0) - monotonic()) > 0:
            if rest > LONGEST_REST:
                raise Refused(ALONE.format(rest))
            await asyncio.sleep(rest)


def rest_after(request: Request, response: Response) -> float:
    """Seconds to pause a busy host: its own value, else 2, 4, 8, … for repeated answers."""
    wait = retry_after(response)
    return 2.0 ** (1 + request.meta.get("retry_times", 0)) if wait is None else wait


def retry_after(response: Response) -> float | None:
    """Seconds of the `Retry-After` header, a number or a date; None if absent."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


class Throttle(AutoThrottle):
    """AutoThrottle with `Crawl-delay`, and pauses of busy hosts.

    Args:
        crawler: Scrapy's.
    """

    def __init__(self, crawler: Crawler):
        super().__init__(crawler)
        self.least: dict[str, float] = {}  # host -> seconds between two requests
        self.until: dict[str, float] = {}  # host -> when it may be asked again, on the monotonic clock
        crawler.signals.connect(self.robots_parsed, signals.robots_parsed)

    def robots_parsed(self, robotparser: Any, request: Request) -> None:
        """Handler of Scrapy's signal."""
        if delay := robotparser.rp.crawl_delay(AGENT):
            self.least[host_of(request)] = min(float(delay), LONGEST_DELAY)

    def _response_downloaded(self, response: Response, request: Request, spider: Any) -> None:
        super()._response_downloaded(response, request, spider)
        slot = self._get_slot(request, spider)[1]
        if slot is None:
            return
        if response.status in BUSY:
            slot.delay = min(max(2 * slot.delay, 1.0), LONGEST_DELAY)
            self._rest(slot, host_of(request), rest_after(request, response))
        slot.delay = max(slot.delay, self.least.get(host_of(request), 0.0))

    def _rest(self, slot: Any, host: str, rest: float) -> None:
        """Delays or cancels queued requests of the host; `Rest` delays new ones."""
        self.until[host] = max(self.until.get(host, 0.0), monotonic() + rest)
        if rest <= LONGEST_REST:
            slot.lastseen = max(slot.lastseen, monotonic() + rest)  # the next request is sent after this and the delay
            return
        while slot.queue:
            slot.queue.popleft()[1].errback(Refused(ALONE.format(rest)))
