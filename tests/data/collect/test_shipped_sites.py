"""The shipped descriptions, read by the real spider from sites of the structure that they describe.

The pages are as the sites' are documented, with what stands around: menus, advertisements, links to other people,
thumbnails, and photos whose page lacks the full picture or tells that it is small.
"""

import re
from urllib.parse import unquote

import pytest

from bolid.data.collect.journal import KEPT
from bolid.data.collect.site import find_site, read_site
from tests.data.collect.gallery import LOOPBACK, Answer, Gallery, files, picture, rows, run

MENU = '<a href="/">Home</a> <a href="/photos/">Photos</a> <a href="https://ads.example/x">Ad</a><img src="/logo.png">'
HTML = "text/html"


def serve(site, pages, charset="utf-8", declared=True):
    """Answers pages in one encoding, told or not told in the header."""
    for path, text in pages.items():
        body = f"<html><head><title>x</title></head><body>{MENU}{text}<p>© 12 345 photos</p></body></html>"
        kind = f"{HTML}; charset={charset}" if declared else HTML
        site.answers[path] = Answer(body.encode(charset), kind)


def until_2017(site):
    """/photos/?s_id=N, gallery.php?id=ID&page=N, a page a photo; cp1251, which nothing declares."""
    names = {0: "Анна Петрова", 3: "Bo Lee"}
    pages = {}
    for letter in range(4):
        rows_ = f'<tr><td><a href="gallery.php?id={letter}">{names[letter]}</a></td></tr>' if letter in names else ""
        pages[f"/photos/?s_id={letter}"] = (
            f'<table id="models_list">{rows_}</table><table><a href="/u">user</a></table>'
        )
    for who in names:
        last = f'<div class="listalka ltop"><a href="gallery.php?id={who}&amp;page=3">3</a></div>'
        for page in range(1, 4):
            boxes = "".join(
                f'<div class="pic_box"><a href="pic-{who}{n}.html"><img src="/i/{who}{n}_s.jpg"></a></div>'
                for n in (2 * page, 2 * page + 1)
            )
            address = f"/photos/gallery.php?id={who}" + (f"&page={page}" if page > 1 else "")
            pages[address] = (
                f'{last}<div class="gallery-pics-list">{boxes}</div><div class="pic_box"><a href="/z">z</a></div>'
            )
        for n in range(2, 8):
            big = f'<div class="pic-big-box"><img src="/big/{who}{n}.jpg"></div>' if n < 7 else "moved"
            pages[f"/photos/pic-{who}{n}.html"] = big  # the last one's address follows from its thumbnail
            site.answers[f"/big/{who}{n}.jpg" if n < 7 else f"/i/{who}{n}.jpg"] = Answer(picture(100 * who + n))
    serve(site, pages, "cp1251", declared=False)
    return {"Анна Петрова": 6, "Bo Lee": 6}, {}


def in_2025(site):
    """/photos/ by letters, /photos/NAME/?page=N with a count, a page a photo."""
    letters = '<div class="letters-list"><a href="/photos/a/">A</a><a href="/photos/b/">B</a></div>'
    pages = {"/photos/": letters}
    for letter, who in (("a", "ann_lee"), ("b", "bo")):
        card = f'<a href="/photos/{who}/">{who.replace("_", " ").title()}</a>'
        pages[f"/photos/{letter}/"] = f'{letters}<div class="models_list row my-5">{card}</div>'
        links = (
            f'<div class="listalka"><a href="/photos/{who}/?page=2">2</a><a href="/photos/{who}/?page=2">»</a></div>'
        )
        for page in (1, 2):
            shown = "".join(
                f'<a href="/photos/{who}/{n}/"><img src="/t/{who}{n}.jpg"></a>' for n in range(3 * page, 3 * page + 3)
            )
            pages[f"/photos/{who}/" + ("?page=2" if page == 2 else "")] = (
                f'<div class="col main-col-content"><h1>x</h1><p>Всего 6 фото</p><p>1990</p>{links}'
                f'<div class="row gx-1 justify-content-center">{shown}</div></div>'
            )
        for n in range(3, 9):
            inner = f'<span class="s-pic"><img src="/full/{who}{n}.jpg"></span>' if n < 8 else "<b>removed</b>"
            pages[f"/photos/{who}/{n}/"] = f'<div class="pic-big-box__main">{inner}</div><img src="/t/{who}4.jpg">'
            site.answers[f"/full/{who}{n}.jpg"] = Answer(picture(1000 * (who == "bo") + n))
    serve(site, pages)
    return {"Ann Lee": 5, "Bo": 5}, {"wrong": 2}


def at_the_second(site):
    """/photos by letters with counts, /photos/NAME-mdN/pageN/, sizes on photos' pages, three ways to full pictures."""
    letters = '<div class="box_photo_letters"><a class="letter-item" href="/photos/letter-b">B</a></div>'
    pages = {}
    for path, who, name in (("/photos", "ann-lee-md12", "Ann Lee"), ("/photos/letter-b", "bo-md3", "Bo")):
        title = f'<a class="model-card__body__title" href="/photos/{who}/">{name}</a>'
        count = '<div class="model-card__body__data"><span>6 photos</span><span>1990</span></div>'
        pages[path] = f'{letters}<div class="model-card"><div class="model-card__body">{title}{count}</div></div>'
        nav = f'<nav aria-label="Photo pagination"><a class="page-link" href="/photos/{who}/page3/">3</a></nav>'
        for page in range(1, 4):
            cards = "".join(
                f'<div class="pic-card"><a class="link" href="/photos/{who}/pic-{n}/"><img src="/cache/i/'
                f'{who}{n}-gthumb-ghdata300.jpg"></a><a class="link" href="/vote/{n}">+</a></div>'
                for n in (2 * page, 2 * page + 1)
            )
            pages[f"/photos/{who}/" + (f"page{page}/" if page > 1 else "")] = cards + nav
        for n in range(2, 8):
            size = "30 x 20" if n == 7 else "48 x 40"
            full = f'<div class="big-photo-wrapper"><a href="/f/{who}{n}.jpg"></a></div>'
            full = f'<a class="fancybox" href="/f/{who}{n}.jpg">large</a>' if n == 3 else full
            full = "only small" if n == 4 else full
            pages[f"/photos/{who}/pic-{n}/"] = f'{full}<span class="size-wr">{size}</span>'
            site.answers[f"/i/{who}{n}.jpg" if n == 4 else f"/f/{who}{n}.jpg"] = Answer(picture(50 * len(who) + n))
    serve(site, pages)
    return {"Ann Lee": 5, "Bo": 5}, {"small": 2}


THUMBNAILS = re.compile(r"_s\.jpg|/t/|/cache/|/logo|/vote|/u$|/z$")


@pytest.mark.parametrize(
    ("name", "build"), [("theplace-2017", until_2017), ("theplace-2025", in_2025), ("theplace-2", at_the_second)]
)
def test_all_that_a_shipped_description_says_is_collected_and_nothing_else(tmp_path, name, build):
    site = Gallery()
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /users/\n", "text/plain")
    people, others = build(site)
    path = tmp_path / f"{name}.yaml"
    path.write_text(re.sub(r"https?://[\w.-]+(?=/)", site.root, find_site(name).read_text()))
    with site.served():
        done = run(tmp_path / "out", path, *LOOPBACK)
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out")
    kept = [row["identity"] for row in found if row["status"] == KEPT]
    assert {who: kept.count(who) for who in set(kept)} == people
    why = [row["status"].split(":")[0] for row in found if row["status"] != KEPT]
    assert {word: why.count(word) for word in set(why)} == others
    served = {answer.body for answer in site.answers.values() if answer.kind == "image/jpeg"}
    assert set(files(tmp_path / "out").values()) <= served
    assert len(files(tmp_path / "out")) == len(kept)
    assert {row["licence"] for row in found} == {read_site(path).licence}
    assert not [asked for asked in site.paths() if THUMBNAILS.search(unquote(asked))]
    assert max(site.count.values()) == 1  # every page and photo once


def test_the_shipped_list_is_read_as_it_stands(tmp_path):
    site = Gallery()
    site.answers["/robots.txt"] = Answer(b"", "text/plain")
    for seed, photo in enumerate(("ann-1", "ann-2", "bob-1")):
        site.answers[f"/photos/{photo}.jpg"] = Answer(picture(seed))
    path = tmp_path / "addresses.csv"
    path.write_text(
        (find_site("theplace-2").parent / "addresses.csv").read_text().replace("https://example.org", site.root)
    )
    with site.served():
        done = run(tmp_path / "out", path, *LOOPBACK)
    assert "3 photos of 2 people, 3 of them new" in done.stdout, done.stderr
    told = {(row["identity"], row["licence"], row["page"]) for row in rows(tmp_path / "out")}
    ann = f"{site.root}/ann"
    assert told == {("Ann Example", "CC BY 4.0", ann), ("Bob Example", "own", "")}
