"""Tags, pauses and robots.txt."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scrapy.http import Headers, HtmlResponse, Response

from bolid.core.errors import BolidError
from bolid.data.collect.manners import NO_AI, kept_out, objection, page_objection, retry_after
from bolid.data.collect.settings import Manners, settings
from tests.data.collect.gallery import LOOPBACK, Answer, Gallery, described, picture, rows, run


@pytest.mark.parametrize(
    ("values", "tag"),
    [
        (["noai"], "noai"),
        (["index, NoImageAI"], "noimageai"),
        (["noindex"], "noindex"),
        (["none"], "none"),
        (["noarchive", "max-snippet: 20, noimageindex"], "noimageindex"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST", "noai"], "noai"),
        (["bolid: noindex"], "noindex"),
        (["*: noindex"], "noindex"),
        (["otherbot: noindex, noai"], ""),
        (["otherbot: noindex", "noai"], "noai"),
        (["otherbot: nofollow, bolid: noai"], "noai"),
        (["index, follow, noarchive"], ""),
        ([], ""),
    ],
)
def test_what_keeps_us_out(values, tag):
    assert kept_out(values) == tag


def test_headers_of_a_photo():
    assert objection(Headers({"Content-Type": "image/webp"})) == ""
    assert objection(Headers({"Content-Type": "application/octet-stream"})) == ""
    assert objection(Headers({})) == ""
    assert objection(Headers({"Content-Type": "text/html; charset=utf-8"})) == "wrong: the answer is text/html"
    assert objection(Headers({"Content-Type": "image/png", "X-Robots-Tag": "noai"})).startswith("noai")


def test_tags_of_a_page():
    def page(text, **headers):
        return HtmlResponse("https://example.org/", body=text.encode(), headers=headers)

    assert page_objection(page("<meta name='Robots' content='noai'>")).startswith("noai")
    assert page_objection(page("<meta name='bolid' content='noindex'>")).startswith("noai")
    assert page_objection(page("x", **{"X-Robots-Tag": "noimageai"})).startswith("noai")
    assert page_objection(page("x", **{"X-Robots-Tag": "noindex, noai"}), NO_AI).startswith("noai")
    assert page_objection(page("<meta name='robots' content='noindex'>"), NO_AI) == ""
    assert page_objection(page("<meta name='robots' content='index'><meta name='otherbot' content='noai'>")) == ""


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("0", 0), ("soon", None), ("", None), ("-5", None), ("9" * 30, None)]
)
def test_retry_after_in_seconds(value, seconds):
    assert retry_after(Response("http://example.org/", headers={"Retry-After": value})) == seconds


def test_retry_after_as_a_date():
    for delta, low, high in ((90, 80, 91), (-90, 0, 0)):
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=delta), usegmt=True)
        assert low <= retry_after(Response("http://example.org/", headers={"Retry-After": date})) <= high


@pytest.mark.parametrize("contact", ["", "me", "a b@c.org", "a@b.org\r\nCookie: x", "ü@b.org", "a@" + "b" * 300])
def test_a_contact_that_says_nothing_is_refused(contact):
    with pytest.raises(BolidError, match="contact"):
        Manners(contact).check()


def test_requests_say_who_sends_them_and_open_no_ports():
    manners = Manners("me@example.org")
    manners.check()
    found = settings(manners)
    assert found["USER_AGENT"].endswith("(+me@example.org)")
    assert not found["TELNETCONSOLE_ENABLED"]
    assert not found["REMOTE_CONTROL_ENABLED"]
    for manner in (Manners("me@example.org", delay=-1), Manners("me@example.org", timeout=0)):
        with pytest.raises(BolidError, match="delay"):
            manner.check()


def test_a_host_that_asks_for_an_hour_is_left_alone(tmp_path):
    site = Gallery()
    site.add("Ann", *(picture(n) for n in range(12)))
    site.build(photos_per_page=12)
    site.answers["/full/Ann/2.jpg"] = Answer(status=429, headers={"Retry-After": "3600"})
    with site.served():
        done = run(tmp_path / "out", described(site, tmp_path), *LOOPBACK)
    assert done.returncode == 0, done.stderr
    moment = next(moment for path, moment, _ in site.asked if path == "/full/Ann/2.jpg")
    assert len([path for path, later, _ in site.asked if later > moment]) <= 3  # what was under way
    assert [row["status"] for row in rows(tmp_path / "out") if "left alone" in row["status"]]
