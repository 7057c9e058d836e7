"""`bolid data collect`: runs the spider with a progress bar and a summary."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bolid.core.errors import BolidError

if TYPE_CHECKING:
    from bolid.data.collect.settings import Manners
    from bolid.data.collect.sources import Source
    from bolid.data.collect.spider import Job

LOG = ".collected/log.txt"
SHOWN = 5  # number of example errors


def collect(
    folder: Path,
    site: str,
    contact: str = "",
    people: int | None = None,
    names: list[str] | None = None,
    photos: int = 500,
    at_least: int = 1,
    min_size: int = 1000,
    delay: float = 0.5,
    timeout: float = 60.0,
    allow_private: list[str] | None = None,
    dry_run: bool = False,
) -> str:
    """Collects photos of people from a gallery site or a list of addresses; run it again to resume.

    Photos go to FOLDER/PERSON, a line on each to FOLDER/collected.jsonl. What robots.txt, `X-Robots-Tag` or a robots
    meta tag forbids is skipped. You are responsible for the rights to the photos, the consent of the people in them,
    and the terms of the site: see docs/photos/collect.md.

    Args:
        folder: Output folder; an interrupted run resumes there.
        site: A site description (YAML), a list of addresses (.csv, .txt or .jsonl with lines PERSON,ADDRESS), or the
            name of a shipped description.
        contact: Your mail or web address; it is sent with every request.
        people: Stop after this many people with at least `at_least` photos; null for all.
        names: Collect these people alone.
        photos: Most photos of a person.
        at_least: Leaves out people with fewer photos by the site's own count.
        min_size: Least length of a photo's shortest side in pixels.
        delay: Least seconds between two requests to a host; slow hosts get more.
        timeout: Seconds within which an answer must be complete.
        allow_private: Addresses and networks on private networks that may be asked, such as 127.0.0.1 or 10.0.0.0/8;
            `all` for any. Others are refused, whatever name leads to them.
        dry_run: Read lists and galleries, print what would be loaded, and write nothing.

    Returns:
        A summary of kept photos, and of others by reason.

    Raises:
        BolidError: If a setting cannot be used, or Scrapy is not installed.
    """
    try:
        import scrapy  # noqa: F401
    except ImportError as error:
        raise BolidError("collecting needs Scrapy: pip install 'bolid[photos]'") from error
    from bolid.data.collect.journal import Journal
    from bolid.data.collect.settings import Manners
    from bolid.data.collect.spider import Job, Wanted

    if min(photos, at_least, 1 if people is None else people) < 1 or at_least > photos or min_size < 0:
        raise BolidError("--people, --photos and --at_least take 1 or more, and at_least no more than photos")
    manners = Manners(contact, delay, timeout, allow_private or [])
    manners.check()
    source, encoding = source_of(site)
    journal = Journal(Path(folder), not dry_run, min_size)
    job = Job(source, Wanted(people, names or [], photos, at_least, min_size), journal, encoding)
    job.plan = [] if dry_run else None
    try:
        crawl(job, manners)
    finally:
        journal.close()
    if job.error is not None:
        raise job.error
    if job.ended == "shutdown":
        print(f"{summary(job)}\nstopped; the same command goes on", file=sys.stderr)
        raise KeyboardInterrupt
    return "\n".join([*(job.plan or []), summary(job)])


def source_of(site: str) -> tuple[Source, str]:
    """The site or list of a name or path, and the encoding of its pages."""
    from bolid.data.collect.listing import SUFFIXES
    from bolid.data.collect.site import find_site, read_site
    from bolid.data.collect.sources import ListSource, SiteSource

    path = find_site(site)
    if path.suffix.lower() in SUFFIXES:
        return ListSource(path), ""
    described = read_site(path)
    return SiteSource(described), described.encoding


def crawl(job: Job, manners: Manners) -> None:
    """Runs the spider in this process, which is possible only once: Twisted's reactor cannot restart.

    Raises:
        BolidError: If it has run before.
    """
    from PIL import Image
    from scrapy.crawler import CrawlerProcess
    from tqdm import tqdm
    from twisted.internet.error import ReactorNotRestartable

    from bolid.data.collect.settings import settings
    from bolid.data.collect.spider import PeopleSpider

    process = CrawlerProcess(settings(manners))  # reconfigures the loggers
    with warnings.catch_warnings(), logged(job), tqdm(unit=" photos", disable=None) as bar:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have our own limits

        def seen(person: str, photos: int) -> None:
            bar.set_description(f"{person[:30]} ({photos})", refresh=False)
            bar.update(sum(job.journal.new.values()) - bar.n)

        job.seen = seen
        process.crawl(PeopleSpider, job=job)
        try:
            process.start()
        except ReactorNotRestartable as error:
            raise BolidError("a process collects once; start a new one for the next folder") from error


@contextmanager
def logged(job: Job) -> Iterator[None]:
    """Redirects Scrapy's log to a file in the folder; a dry run has none."""
    path = job.journal.folder / LOG
    handler = logging.NullHandler() if job.plan is not None else logging.FileHandler(path, "w", "utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("scrapy", "twisted", "asyncio", "protego")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
        handler.close()


def summary(job: Job) -> str:
    """Summary of the folder's content, this run's decisions by kind, and errors."""
    journal, wanted = job.journal, job.wanted
    lines = [
        f"{journal.folder}: {sum(journal.kept.values())} photos of {len(+journal.kept)} people, "
        f"{journal.new['kept']} of them new"
    ]
    kinds = Counter({kind: count for kind, count in journal.new.items() if kind != "kept"})
    if kinds:
        lines.append("not kept: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    few = [f"{name} ({count})" for name, count in job.people.items() if count < wanted.at_least]
    if few and job.plan is None:
        lines.append(f"fewer than {wanted.at_least} photos: {listed(few)}")
    if job.trouble:
        lines.append(f"went wrong: {listed(job.trouble)}")
    if gone := journal.gone():
        lines.append(
            f"{gone} photos of {journal.folder}/collected.jsonl are gone; remove their lines to load them again"
        )
    return "\n".join(lines)


def listed(things: list[str]) -> str:
    """The first items, and the number of the rest."""
    return ", ".join(things[:SHOWN]) + (f" and {len(things) - SHOWN} more" if len(things) > SHOWN else "")
