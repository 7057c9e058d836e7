"""Descriptions of sites: what is refused, and what the shipped ones read off small pages of their structure."""

import pytest
from scrapy.http import HtmlResponse

from bolid.core.errors import BolidError
from bolid.data.collect.pages import Person, Reader, number, size
from bolid.data.collect.site import find_site, read_site
from bolid.data.collect.sources import SiteSource

GOOD = """
start: [https://example.org/]
people: {person: a.name}
gallery: {photo: a.photo}
"""


def page(address, text, encoding="utf-8"):
    return HtmlResponse(address, body=f"<html><body>{text}</body></html>".encode(encoding), encoding=encoding)


def shipped(name):
    return read_site(find_site(name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "colour: red", "colour"),
        (GOOD.replace("photo:", "photos:"), "photo"),
        (GOOD.replace("a.name", "[1, 2]"), "people"),
        (GOOD.replace("a.name", "'a[['"), "people.person"),
        (GOOD.replace("a.name", "''"), "people.person"),
        (GOOD.replace("a.name", "'//a[@'"), "people.person"),
        (GOOD.replace("a.photo", "a.photo, page_number: '('"), "gallery.page_number"),
        (GOOD.replace("a.photo", "a.photo, page_number: 'page'"), "one group"),
        (GOOD + "picture: {full: ['a..b']}", "picture.full.0"),
        (GOOD + "picture: {thumbnail: [{pattern: '*'}]}", "picture.thumbnail.0"),
        (GOOD + "encoding: klingon", "encoding"),
        (GOOD.replace("https://example.org/", "file:///etc/passwd"), "start"),
        (GOOD.replace("[https://example.org/]", "[]"), "start"),
        ("- a list", "start, people"),
        ("start: [", "not YAML"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
        ("x" * 200_000, "larger"),
    ],
)
def test_a_wrong_description_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(BolidError, match=r"site\.yaml") as error:
        read_site(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_that_is_not_shipped_lists_those_that_are():
    with pytest.raises(BolidError, match="theplace-2, theplace-2017, theplace-2025"):
        find_site("theplace-3")
    with pytest.raises(BolidError, match="no such site"):
        find_site("../collect/theplace-2")


def test_numbers_and_sizes_in_text():
    assert [number(t) for t in ("1 234 фото", "Всего 57 фото", "12\u00a0345", "none", "1200 16")] == [
        1234,
        57,
        12345,
        None,
        1200,
    ]
    assert [size(t) for t in ("1200x1600", "1200 × 1600 px", "1200х1600", "12 photos")] == [
        (1200, 1600), (1200, 1600), (1200, 1600), None,
    ]  # fmt: skip


def test_theplace_until_2017():
    site = shipped("theplace-2017")
    reader, root = Reader(site), "http://www.theplace.ru/photos/"
    assert site.encoding == "cp1251"
    assert site.start == [f"{root}?s_id={n}" for n in range(4)]
    people = page(root, '<table id="models_list"><tr><td><a href="gallery.php?id=7">Анна Петрова</a></td></tr></table>'
                        '<a href="/elsewhere">not a person</a>', "cp1251")  # fmt: skip
    assert reader.people(people) == [Person("Анна Петрова", f"{root}gallery.php?id=7")]
    gallery = page(
        f"{root}gallery.php?id=7",
        '<div class="listalka ltop"><a href="gallery.php?id=7&amp;page=2">2</a> …'
        '<a href="gallery.php?id=7&amp;page=4">4</a></div>'
        '<div class="gallery-pics-list"><div class="pic_box"><a href="pic-1.html"><img src="/i/1_s.jpg"></a>'
        '</div><div class="pic_box"><a href="pic-2.html"><img src="/i/2_s.jpg"></a></div></div>',
    )
    assert reader.pages(gallery) == [f"{root}gallery.php?id=7&page={n}" for n in (2, 3, 4)]
    first, second = reader.photos(gallery)
    assert (first.page, first.thumbnail) == (f"{root}pic-1.html", "http://www.theplace.ru/i/1.jpg")
    shown = page(first.page, '<div class="pic-big-box"><img src="/big/1.jpg"></div>')
    assert reader.full(first, shown).address == "http://www.theplace.ru/big/1.jpg"
    assert reader.full(second, page(second.page, "moved")).address == "http://www.theplace.ru/i/2.jpg"


def test_theplace_in_2025():
    reader, root = Reader(shipped("theplace-2025")), "https://www.theplace.ru/photos/"
    people = page(
        root,
        '<div class="letters-list"><a href="/photos/a/">A</a><a href="/photos/b/">B</a></div>'
        '<div class="models_list row my-5"><a href="/photos/ann_lee/">Ann Lee</a><a href="https://ads.example/">Ad</a></div>',
    )
    assert reader.more(people) == [f"{root}a/", f"{root}b/"]
    assert reader.people(people) == [Person("Ann Lee", f"{root}ann_lee/")]
    gallery = page(
        f"{root}ann_lee/",
        '<div class="col-xl-9 main-col-content"><div class="d-none d-sm-block"><p>Всего 57 фото</p><p>1990</p></div>'
        "</div>"
        '<div class="row gx-1 justify-content-center"><a href="/photos/ann_lee/1/"><img src="/t/1.jpg"></a></div>'
        '<div class="listalka"><a href="/photos/ann_lee/?page=3">3</a></div>',
    )
    assert reader.count(gallery) == 57
    assert reader.pages(gallery) == [f"{root}ann_lee/?page=2", f"{root}ann_lee/?page=3"]
    (photo,) = reader.photos(gallery)
    shown = page(photo.page, '<div class="pic-big-box__main"><span class="s-pic"><img src="/full/1.jpg"></span></div>')
    assert reader.full(photo, shown).address == "https://www.theplace.ru/full/1.jpg"
    assert reader.full(photo, page(photo.page, "")).address == ""  # no rule for thumbnails


def test_theplace_2():
    reader, root = Reader(shipped("theplace-2")), "https://www.theplace-2.com/photos"
    people = page(
        root,
        '<div class="box_photo_letters"><a class="letter-item" href="/photos/letter-a">A</a></div>'
        '<div class="model-card__body"><a class="model-card__body__title" href="/photos/ann-lee-md12/">Ann Lee</a>'
        '<div class="model-card__body__data"><span>1 204 photos</span></div></div>'
        '<div class="model-card__body"><a class="model-card__body__title" href="/photos/bo-md3/">Bo</a>'
        '<div class="model-card__body__data"><span>8 photos</span></div></div>',
    )
    assert reader.more(people) == [f"{root}/letter-a"]
    assert reader.people(people) == [
        Person("Ann Lee", f"{root}/ann-lee-md12/", 1204),
        Person("Bo", f"{root}/bo-md3/", 8),
    ]
    gallery = page(
        f"{root}/ann-lee-md12/",
        '<nav aria-label="photo pagination"><a class="page-link" href="/photos/ann-lee-md12/page3/">3</a></nav>'
        '<div class="pic-card"><a class="link" href="/photos/ann-lee-md12/pic-5/">'
        '<img src="/cache/a/5-gthumb-ghdata300.jpg"></a></div>',
    )
    assert reader.pages(gallery) == [f"{root}/ann-lee-md12/page{n}/" for n in (2, 3)]
    (photo,) = reader.photos(gallery)
    assert photo.thumbnail == "https://www.theplace-2.com/a/5.jpg"
    wrapped = page(
        photo.page, '<div class="big-photo-wrapper"><a href="/a/5-full.jpg"></a></div><p class="size-wr">900 x 1350</p>'
    )
    boxed = page(photo.page, '<a class="fancybox" href="/a/5-box.jpg">large</a>')
    found = reader.full(photo, wrapped)
    assert (found.address, found.size) == ("https://www.theplace-2.com/a/5-full.jpg", (900, 1350))
    assert reader.full(photo, boxed).address == "https://www.theplace-2.com/a/5-box.jpg"
    assert reader.full(photo, page(photo.page, "")).address == photo.thumbnail


def test_hostile_links_are_left_out(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(GOOD)
    reader = Reader(read_site(path))
    links = [
        "javascript:x()",
        "data:image/png;base64,AA",
        "mailto:a@b",
        "http://[",
        "#top",
        "",
        "/ok.jpg#part",
        "/" + "x" * 3000,
    ]
    found = reader.photos(
        page("https://example.org/p", "".join(f'<a class=photo href="{link}">x</a>' for link in links))
    )
    assert [photo.address for photo in found] == ["https://example.org/ok.jpg"]
    people = [
        Person("x", "https://evil.org/p"),
        Person("x", "https://example.org.evil.org/"),
        Person("x", "https://a.example.org/"),
    ]
    named = page("https://example.org/", "".join(f'<a class=name href="{person.address}">x</a>' for person in people))
    assert reader.people(named) == people[2:]


def test_a_licence_link_of_the_photos_page_comes_first(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(GOOD + "licence: ask\npicture: {full: [img.full]}")
    reader = Reader(read_site(path))
    (photo,) = reader.photos(page("https://example.org/p", '<a class=photo href="/1">x</a>'))
    told = page(
        photo.page,
        '<img class=full src="/1.jpg"><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">x</a>',
    )
    assert reader.full(photo, told).licence == "https://creativecommons.org/licenses/by/4.0/"
    assert reader.full(photo, page(photo.page, '<img class=full src="data:," data-src="/1.jpg">')).licence == "ask"


async def _all(items):
    return [item async for item in items]


def test_galleries_whose_pages_link_in_circles_end(tmp_path):
    import asyncio

    path = tmp_path / "site.yaml"
    path.write_text(GOOD.replace("a.photo", "a.photo, pages: nav a").replace("a.name", "a.name, more: a.more"))
    root = "https://example.org"
    pages = {
        f"{root}/": '<a class=more href="/">again</a><a class=name href="/p">Ann</a><a class=name href="/p">A.</a>',
        f"{root}/p": '<nav><a href="/p">1</a><a href="/q">2</a></nav><a class=photo href="/1.jpg">x</a>',
        f"{root}/q": '<nav><a href="/p">1</a><a href="/gone">3</a></nav><a class=photo href="/2.jpg">x</a>',
    }

    async def fetch(address):
        return page(address, pages[address]) if address in pages else None

    source = SiteSource(read_site(path))
    (ann,) = asyncio.run(_all(source.people(fetch)))
    photos = asyncio.run(_all(source.photos(ann, fetch, 1)))
    assert [photo.address for photo in photos] == [f"{root}/1.jpg", f"{root}/2.jpg"]
