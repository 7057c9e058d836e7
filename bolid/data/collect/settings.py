"""Scrapy's settings for a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bolid.core.errors import BolidError
from bolid.data.collect.guard import ALLOWED, networks

ROOM = "bolid.data.collect"
MAX_PHOTO = 50_000_000  # bytes
MAX_PAGE = 10_000_000
AT_ONCE = 8  # concurrent photos


@dataclass(frozen=True)
class Manners:
    """Settings of the requests.

    Attributes:
        contact: Mail or web address of the user, for the user agent.
        delay: Least seconds between two requests to a host.
        timeout: Seconds within which an answer must be complete.
        allow_private: Private networks that may be asked.
    """

    contact: str
    delay: float = 0.5
    timeout: float = 60.0
    allow_private: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raises `BolidError` if a value is invalid."""
        plain = self.contact.isascii() and self.contact.isprintable() and " " not in self.contact
        if not plain or not ("@" in self.contact or "://" in self.contact) or len(self.contact) > 200:
            raise BolidError("--contact: give your mail or web address: sites must be able to reach you")
        if not 0 <= self.delay <= 60 or not 0 < self.timeout <= 3600:
            raise BolidError("--delay takes 0 to 60 seconds, --timeout up to 3600")
        networks(self.allow_private)


def release() -> str:
    """The installed version; unknown for a checkout that is only on the path."""
    try:
        return version("bolid")
    except PackageNotFoundError:
        return "0"


def settings(manners: Manners) -> dict[str, Any]:
    """Scrapy's settings: identified, throttled, direct connections by http and https only.

    There is no `JOBDIR`: its queues are pickles, and lose requests in progress when the process is killed. A run
    resumes from `collected.jsonl` instead.
    """
    return {
        "USER_AGENT": f"bolid/{release()} (+{manners.contact})",
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": "bolid",
        "DOWNLOAD_DELAY": manners.delay,
        "DOWNLOAD_TIMEOUT": manners.timeout,
        "DOWNLOAD_MAXSIZE": MAX_PAGE,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_HANDLERS": dict.fromkeys(("data", "file", "ftp", "s3")),  # none
        "CONCURRENT_REQUESTS": 2 * AT_ONCE,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": manners.delay,
        "RETRY_TIMES": 3,
        "RETRY_GIVE_UP_LOG_LEVEL": "INFO",
        "REDIRECT_MAX_TIMES": 5,
        "METAREFRESH_ENABLED": False,
        "COOKIES_ENABLED": False,
        "HTTPPROXY_ENABLED": False,  # behind a proxy, the connected address cannot be checked
        "TWISTED_DNS_RESOLVER": f"{ROOM}.guard.GuardedResolver",
        ALLOWED: list(manners.allow_private),
        "DOWNLOADER_MIDDLEWARES": {
            f"{ROOM}.guard.AddressGuard": 90,
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            f"{ROOM}.manners.Robots": 100,
            f"{ROOM}.guard.ResolvedGuard": 560,  # after Scrapy's retries at 550, so that it sees errors before them
            f"{ROOM}.manners.Rest": 950,
        },
        "EXTENSIONS": {
            "scrapy.extensions.throttle.AutoThrottle": None,
            f"{ROOM}.manners.Throttle": 0,
            f"{ROOM}.manners.Gate": 0,
        },
        "LOG_INSTALL_ROOT_HANDLER": False,
        "TELNETCONSOLE_ENABLED": False,  # these two open ports
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "STATS_DUMP": False,
    }
