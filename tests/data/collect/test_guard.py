"""Private addresses in all their spellings, and names that change what they resolve to."""

import pytest
from scrapy import Request
from twisted.internet.address import IPv4Address, IPv6Address

from bolid.core.errors import BolidError
from bolid.data.collect.guard import AddressGuard, GuardedResolver, Refused, is_public, networks

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("100.100.100.200", "224.0.0.1", "239.255.255.250", "255.255.255.255", "168.63.129.16", "192.0.0.192"),
    *("198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1"),
    "64:ff9b:1::7f00:1",
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address):
    assert not is_public(address)
    assert is_public(address, networks(["all"]))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address):
    assert is_public(address)


def test_what_is_allowed_is_allowed_alone():
    allowed = networks(["127.0.0.1", "10.0.0.0/8"])
    assert is_public("127.0.0.1", allowed)
    assert is_public("::ffff:10.2.3.4", allowed)
    assert not is_public("127.0.0.2", allowed)
    assert not is_public("169.254.169.254", allowed)
    with pytest.raises(BolidError, match="allow_private"):
        networks(["localhost"])


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1/", "http://[::1]/x", "http://[::ffff:10.0.0.1]:80/", "https://user:pass@192.168.0.1/",
     "file:///etc/passwd", "ftp://example.org/", "data:image/png,x", "http:///x"],
)  # fmt: skip
def test_an_address_is_judged_before_anything_is_asked(address):
    with pytest.raises(Refused):
        AddressGuard([]).process_request(Request(address))


def test_names_and_public_addresses_pass_to_the_resolver():
    for address in ("https://example.org/", "http://8.8.8.8/", "http://localhost/", "http://2130706433/"):
        assert AddressGuard([]).process_request(Request(address)) is None  # Scrapy goes on to ask


class Names:
    """A name server that gives other addresses every time it is asked, and the reactor that asks it."""

    def __init__(self, *answers):
        self.answers, self.asked = [*answers], 0
        self.nameResolver = self

    def installNameResolver(self, resolver):
        self.nameResolver = resolver

    def resolveHostName(self, receiver, host, **more):
        receiver.resolutionBegan(self)
        for address in self.answers[self.asked]:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, more["portNumber"]))
        self.asked += 1
        receiver.resolutionComplete()
        return self


class Receiver:
    """Who wants to connect."""

    def __init__(self):
        self.addresses, self.complete = [], False

    def resolutionBegan(self, resolution):
        pass

    def addressResolved(self, address):
        self.addresses.append(address.host)

    def resolutionComplete(self):
        self.complete = True


def test_a_name_that_turns_private_is_never_connected_to():
    reactor = Names(["93.184.216.34", "127.0.0.1"], ["127.0.0.1"], ["::1", "169.254.169.254"], ["::ffff:10.0.0.1"])
    guarded = GuardedResolver(reactor, [])
    guarded.install_on_reactor()
    assert reactor.nameResolver is guarded
    found = []
    for _ in range(4):
        receiver = Receiver()
        reactor.nameResolver.resolveHostName(receiver, "rebind.example", portNumber=80)
        assert receiver.complete
        found.append(receiver.addresses)
    assert found == [["93.184.216.34"], [], [], []]
    assert reactor.asked == 4  # nothing is remembered from one to the next
    assert guarded.refused == {"rebind.example": "::ffff:10.0.0.1"}
