"""What a mistyped command line is told, for a parser with a nested class, a data class and plain options."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from bolid.commands.parser import OneLineParser, gather, no_such
from bolid.core.errors import BolidError


@dataclass
class Colour:
    """A colour.

    Attributes:
        hue: In degrees.
    """

    hue: float = 0.0


class Brush:
    """A brush."""

    def __init__(self, width: int, colour: Colour | None = None, size: tuple[int, int] = (1, 1)):
        self.width = width


class Picture:
    """A picture."""

    def __init__(self, brush: Brush):
        self.brush = brush


@pytest.fixture
def parser():
    new = OneLineParser(prog="paint", allow_abbrev=False)
    new.add_argument("--config", action="config")
    new.add_argument("--copies", type=int, default=1)
    new.add_subclass_arguments(Picture, "picture", required=True)
    return new


BRUSH = ["--picture", "tests.commands.test_parser.Picture", "--picture.brush", "tests.commands.test_parser.Brush"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--copes", "3"], "no such setting 'copes'; did you mean 'copies'?"),
        (["--cop", "3"], "no such setting 'cop'; did you mean 'copies'?"),
        (["--zzz", "3"], "no such setting 'zzz'; see `--help`"),
        (["--copies", "many"], "copies: expected int, got many"),
        ([*BRUSH, "--picture.brush.widht", "3"],
         "picture.init_args.brush.init_args: no such setting 'widht'; did you mean 'width'?"),
        ([*BRUSH, "--picture.brush.width", "wide"], "picture.init_args.brush.init_args.width: expected int, got wide"),
        ([*BRUSH, "--picture.brush.size", "3"],
         "picture.init_args.brush.init_args.size: expected a list such as '[96,64]', got 3"),
        (["--pictre.brush.width", "3"], "no such setting 'pictre.brush.width'; did you mean 'picture.brush.width'?"),
        (["--picture", "tests.commands.test_parser.Painting"],
         "picture: module 'tests.commands.test_parser' has no attribute 'Painting'; see `--help`"),
        (["--config", "gone.yaml"], "gone.yaml'; see `--help`"),
        ([], "required: picture; give them or a `--config FILE`"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_where_and_what(parser, words, told):
    with pytest.raises(BolidError) as caught:
        parser.parse_args(words)
    assert str(caught.value).endswith(told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keys", ["brush: {init_args: {colour: {heu: 1}}}", "brush: {colour: {heu: 1}}"])
def test_a_mistake_deep_in_a_file_is_found(parser, tmp_path, keys):
    (tmp_path / "more.yaml").write_text(f"picture: {{init_args: {{{keys}}}}}")
    with pytest.raises(BolidError, match=r"^picture\.init_args\.brush.*\.colour.*: no such setting 'heu'; .* 'hue'\?$"):
        parser.parse_args([*BRUSH, "--picture.brush.width", "1", "--config", str(tmp_path / "more.yaml")])


def test_a_file_that_is_no_yaml_is_one_line(parser, tmp_path):
    (tmp_path / "broken.yaml").write_text("picture: [\n  x: {\n")
    with pytest.raises(BolidError, match=r"^Problems parsing config: .*line 3"):
        parser.parse_args(["--config", str(tmp_path / "broken.yaml")])


def test_help_names_types(parser):
    assert "type: int" in parser.format_help()
    assert "<class" not in parser.format_help()


def test_the_head_of_a_setting_is_mended_before_its_tail():
    known = ["data", "data.help", "trainer.max_steps"]
    assert (
        no_such("trainer.max_stepz", known) == "no such setting 'trainer.max_stepz'; did you mean 'trainer.max_steps'?"
    )
    assert no_such("trianer.max_steps", known).endswith("did you mean 'trainer.max_steps'?")
    assert no_such("unlike.anything", known) == "no such setting 'unlike.anything'; see `--help`"


def paint(name: str, photos: list[str] | None = None, size: tuple[int, int] | None = None, more: Sequence[str] = ()):
    """Takes several of some."""


@pytest.mark.parametrize(
    ("words", "gathered"),
    [
        (
            ["x", "--photos", "a b.jpg", "2.png", "--name", "n"],
            ["x", "--photos", '["a b.jpg", "2.png"]', "--name", "n"],
        ),
        (["--size", "96", "64"], ["--size", "[96, 64]"]),
        (["--more", "a"], ["--more", '["a"]']),
        (["--size", "[96,64]", "x"], ["--size", "[96,64]", "x"]),
        (["--size", "null"], ["--size", "null"]),
        (["--size=[96,64]"], ["--size", "[96,64]"]),
        (["--more=a"], ["--more", '["a"]']),
        (["--size", "96", "64", "a prompt", "--name", "n"], ["--size", "[96, 64]", "a prompt", "--name", "n"]),
        (["--name=a=b"], ["--name=a=b"]),
        (["--name", "a", "b"], ["--name", "a", "b"]),
        (["--photos"], ["--photos"]),
        ([], []),
    ],
)
def test_an_option_takes_several_values(words, gathered):
    assert gather(words, paint) == gathered


def fetch(names: Sequence[str], from_: str | None = None):
    """Takes several without a name, and a word of Python's."""


@pytest.mark.parametrize(
    ("words", "gathered"),
    [
        (["a", "b", "--from", "x"], ['["a", "b"]', "--from_", "x"]),
        (["a", "--from=x"], ['["a"]', "--from_=x"]),
        (["from"], ['["from"]']),
        (['["a","b"]'], ['["a","b"]']),
        (["-h"], ["-h"]),
        (["--from", "x", '["a"]'], ["--from_", "x", '["a"]']),
        ([], []),
    ],
)
def test_the_first_argument_takes_several_values_without_its_name(words, gathered):
    assert gather(words, fetch) == gathered
