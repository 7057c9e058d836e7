"""Blocks requests to private networks, whatever a name resolves to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy.exceptions import CannotResolveHostError, IgnoreRequest
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from bolid.core.errors import BolidError

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

ALLOWED = "BOLID_ALLOW_PRIVATE"  # the setting
ALL = "all"
SCHEMES = ("http", "https")
# Metadata services of clouds, with secrets; the first looks public, the others do to some versions of Python.
SECRET = ("168.63.129.16/32", "100.64.0.0/10", "192.0.0.0/24", "64:ff9b:1::/48", "fd00:ec2::254/128")
METADATA = [ipaddress.ip_network(network) for network in SECRET]
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refused(IgnoreRequest):
    """A refused address; the message says why."""


def networks(allowed: Sequence[str]) -> list[Network]:
    """Parses `--allow_private`; `all` is every address.

    Raises:
        BolidError: If one is neither an address nor a network.
    """
    try:
        named = [name for word in allowed for name in (("0.0.0.0/0", "::/0") if word == ALL else (word,))]
        return [ipaddress.ip_network(name, strict=False) for name in named]
    except ValueError as error:
        raise BolidError(f"--allow_private: {error}; give addresses, networks such as 10.0.0.0/8, or all") from error


def embedded(address: Address) -> Address:
    """The IPv4 address of a translating IPv6 address; others unchanged."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def is_public(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether an IP address may be connected to.

    Args:
        text: The address, such as 127.0.0.1 or fe80::1%eth0.
        allowed: Networks that may be, too.
    """
    address = ipaddress.ip_address(text)
    inner = embedded(address)
    if any(inner in network or address in network for network in allowed):
        return True
    secret = any(inner in network for network in METADATA)
    return inner.is_global and not inner.is_multicast and not secret


@implementer(IHostnameResolver)
class GuardedResolver:
    """Resolves names for the reactor, and passes on public addresses only.

    Connections use the addresses returned here, without resolving the name again, which prevents DNS rebinding.

    Args:
        reactor: Twisted's.
        allowed: Private networks that are allowed.
    """

    def __init__(self, reactor: Any, allowed: Sequence[Network]):
        self.reactor, self.allowed, self.inner = reactor, allowed, reactor.nameResolver
        self.refused: dict[str, str] = {}  # host -> address

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: Any) -> GuardedResolver:
        """Factory for Scrapy; `crawler` may be its process, which has settings, too."""
        return cls(reactor, networks(crawler.settings.getlist(ALLOWED)))

    def install_on_reactor(self) -> None:
        """Installs the resolver for all later connections to names."""
        self.reactor.installNameResolver(self)

    def resolveHostName(self, receiver: Any, hostName: str, *words: Any, **more: Any) -> Any:
        """See `IHostnameResolver`."""
        return self.inner.resolveHostName(Filter(receiver, self, hostName), hostName, *words, **more)


@implementer(IResolutionReceiver)
class Filter:
    """Filters the addresses of a resolver for its receiver.

    Args:
        receiver: Receiver of the resolution.
        resolver: Knows what is allowed, and notes what was refused.
        host: The name.
    """

    def __init__(self, receiver: Any, resolver: GuardedResolver, host: str):
        self.receiver, self.resolver, self.host = receiver, resolver, host

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Passes it on."""
        self.receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:
        """Passes on public addresses."""
        if is_public(address.host, self.resolver.allowed):
            self.receiver.addressResolved(address)
        else:
            self.resolver.refused[self.host.lower()] = address.host

    def resolutionComplete(self) -> None:
        """Passes it on."""
        self.receiver.resolutionComplete()


class AddressGuard:
    """Refuses other schemes and private addresses before any request, redirects included.

    Args:
        allowed: Private networks that are allowed.
    """

    def __init__(self, allowed: Sequence[Network]):
        self.allowed = allowed

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> AddressGuard:
        """Factory for Scrapy."""
        return cls(networks(crawler.settings.getlist(ALLOWED)))

    def process_request(self, request: Request) -> None:
        """Checks the text of the address.

        Raises:
            Refused: If it is no http address, or names a private IP address.
        """
        parts = urlsplit(request.url)
        host = (parts.hostname or "").strip("[]")
        if parts.scheme not in SCHEMES or not host:
            raise Refused(f"only http and https addresses are asked, not {request.url[:60]}")
        try:
            public = is_public(host, self.allowed)
        except ValueError:  # a name, whose address the resolver checks
            return
        if not public:
            raise Refused(f"{host} is a private address (see --allow_private)")


class ResolvedGuard:
    """Reports a refused name, for which Twisted reports a missing address."""

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Runs before retries.

        Raises:
            Refused: If the resolver blocked the name's addresses.
        """
        from twisted.internet import reactor

        resolver = reactor.nameResolver  # type: ignore[attr-defined]
        host = (urlsplit(request.url).hostname or "").lower()
        refused = resolver.refused if isinstance(resolver, GuardedResolver) else {}
        if isinstance(exception, CannotResolveHostError) and (address := refused.get(host)):
            raise Refused(f"{host} has the private address {address} (see --allow_private)")
