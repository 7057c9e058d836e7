"""Downloads pages and photos by Scrapy's downloader; failures are row statuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.exceptions import DownloadCancelledError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import TextResponse
from scrapy.http.request import NO_CALLBACK

from bolid.data.collect.guard import Refused
from bolid.data.collect.manners import KEEP_OUT, NO_AI, PHOTO, objection, page_objection
from bolid.data.collect.photo import Photo, WrongPhoto, examine
from bolid.data.collect.settings import MAX_PAGE, MAX_PHOTO

if TYPE_CHECKING:
    from scrapy.crawler import Crawler


class NotHad(Exception):
    """A page or photo that cannot be downloaded; the message is a row's status."""


class Fetcher:
    """Downloads one address at a time, and handles all kinds of failures.

    Args:
        crawler: Scrapy's, running.
        encoding: Encoding of pages that do not declare theirs.
    """

    def __init__(self, crawler: Crawler, encoding: str = ""):
        self.crawler, self.encoding = crawler, encoding

    async def page(self, address: str, photo: bool = False) -> Any:
        """A page of HTML.

        Args:
            address: Its address.
            photo: Whether it is a photo's own: then `noindex` forbids to collect the photo, too.

        Raises:
            NotHad: If it cannot be downloaded, or its tags forbid its photos.
        """
        response = await self._ask(address, {})
        if not isinstance(response, TextResponse):
            raise NotHad("failed: not a page of HTML")
        if status := page_objection(response, KEEP_OUT if photo else NO_AI):
            raise NotHad(status)
        declared = response._declared_encoding()
        return response if declared or not self.encoding else response.replace(encoding=self.encoding)

    async def photo(self, address: str) -> Photo:
        """A whole image.

        Raises:
            NotHad: If it cannot be had.
        """
        response = await self._ask(address, {PHOTO: True, "download_maxsize": MAX_PHOTO})
        if status := objection(response.headers):
            raise NotHad(status)
        try:
            return await asyncio.to_thread(examine, response.body)
        except WrongPhoto as error:
            raise NotHad(f"wrong: {error}") from error

    async def _ask(self, address: str, meta: dict[str, Any]) -> Any:
        try:
            request = Request(address, meta=meta, callback=NO_CALLBACK, dont_filter=True)
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # no failure of a server or library at one address may end the run
            raise NotHad(status_of(error, meta)) from error
        if response.status != 200:
            raise NotHad(f"failed: HTTP {response.status}")
        return response


def status_of(error: Exception, meta: dict[str, Any]) -> str:
    """The row's status for an exception of Scrapy."""
    large = f"large: over {meta.get('download_maxsize', MAX_PAGE) / 1e6:.0f} MB"
    if isinstance(error, Refused):
        return f"refused: {error}"
    if isinstance(error, IgnoreRequest):
        text = str(error)
        if "robots.txt" in text:
            return "refused: robots.txt"
        return large if "DOWNLOAD_MAXSIZE" in text else f"failed: {text[:100]}"  # while it was unpacked
    if isinstance(error, DownloadCancelledError):
        return large
    if isinstance(error, DownloadTimeoutError):
        return "failed: no whole answer in time"
    return f"failed: {type(error).__name__}: {' '.join(str(error).split())[:100]}"
