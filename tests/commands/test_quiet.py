"""Exactly what was meant to go unsaid does, and only while it lasts."""

import logging
import warnings

import pytest

from bolid.commands.quiet import quiet


def test_news_is_heard_and_advertisements_are_not(caplog):
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with caplog.at_level(logging.INFO, logger.name):
        with quiet():
            logger.info("💡 Tip: install more")
            logger.info("GPU available: False")
        logger.info("💡 Tip: again")
    assert caplog.messages == ["GPU available: False", "💡 Tip: again"]


def test_warnings_of_the_users_business_stay():
    with warnings.catch_warnings(record=True) as heard, quiet():
        warnings.simplefilter("always", append=True)
        warnings.warn("Found 12 module(s) in eval mode at the start of training.", stacklevel=1)
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use another.", FutureWarning, stacklevel=1)
        warnings.warn("LightningCLI's args parameter is intended to run from within Python", stacklevel=1)
        warnings.warn("a photo was skipped", stacklevel=1)
    assert [str(w.message) for w in heard] == ["a photo was skipped"]


def test_nothing_stays_filtered():
    with quiet():
        pass
    with pytest.warns(UserWarning, match="in eval mode"):
        warnings.warn("Found 1 module(s) in eval mode", stacklevel=1)
