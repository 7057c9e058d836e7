"""Settings keyed by name, at top level and within a class, over several configurations."""

import pytest
import yaml
from jsonargparse import ArgumentParser

from bolid.commands.named import MergesByName
from bolid.commands.parser import OneLineErrors
from bolid.core.errors import BolidError


class Sound:
    """Something to be heard."""

    def __init__(self, volume: float = 1.0, pitch: float = 440.0):
        self.volume, self.pitch = volume, pitch


class Drum(Sound):
    """Has no pitch."""

    def __init__(self, volume: float = 2.0):
        super().__init__(volume)


class Band:
    """Plays sounds."""

    def __init__(self, sounds: dict[str, Sound | None], drops: dict[str, float] | None = None):
        self.sounds = sounds


class Parser(MergesByName, OneLineErrors, ArgumentParser):
    pass


HERE = "tests.commands.test_named"
BASE = {"voice": {"class_path": f"{HERE}.Sound", "init_args": {"pitch": 220.0}}, "drum": {"class_path": f"{HERE}.Drum"}}


@pytest.fixture
def parse(tmp_path):
    """The sounds at top level and within the class, after `BASE` and further entries in files, and words."""
    parser = Parser(prog="play")
    parser.add_argument("--config", action="config")
    parser.add_argument("--sounds", type=dict[str, Sound | None], default={})
    parser.add_subclass_arguments(Band, "band")

    def read(*overlays, words=()):
        files = []
        for number, sounds in enumerate((BASE, *overlays)):
            band = {"init_args": {"sounds": sounds}} | ({} if number else {"class_path": f"{HERE}.Band"})
            (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump({"sounds": sounds, "band": band}, sort_keys=False))
            files += ["--config", str(tmp_path / f"{number}.yaml")]
        built = parser.instantiate_classes(parser.parse_args([*files, *words]))
        return built.sounds, built.band.sounds

    return read


def test_an_overlay_changes_adds_and_removes_by_name(parse):
    new = {"class_path": f"{HERE}.Sound", "init_args": {"volume": 5.0}}
    for sounds in parse(
        {"voice": {"init_args": {"volume": 3.0}}, "drum": None, "flute": new}, {"flute": {"pitch": 1.0}}
    ):
        assert list(sounds) == ["voice", "flute"]
        assert (sounds["voice"].volume, sounds["voice"].pitch) == (3.0, 220.0)
        assert (sounds["flute"].volume, sounds["flute"].pitch) == (5.0, 1.0)


def test_an_overlay_that_says_nothing_of_a_name_leaves_it(parse):
    for sounds in parse({"drum": {"class_path": f"{HERE}.Drum", "init_args": {"volume": 7.0}}}, {}):
        assert list(sounds) == ["voice", "drum"]
        assert sounds["drum"].volume == 7.0


def test_another_class_does_not_inherit_settings_it_has_not(parse):
    for sounds in parse({"voice": {"class_path": f"{HERE}.Drum"}}):
        assert list(sounds) == ["voice", "drum"]  # nor does it lose its place
        assert type(sounds["voice"]) is Drum
        assert sounds["voice"].volume == 2.0


@pytest.mark.parametrize("option", ["--sounds", "--band.sounds", "--band.init_args.sounds"])
def test_the_command_line_has_the_last_word(parse, option):
    at = 0 if option == "--sounds" else 1
    words = [f"{option}.drum", "null", f"{option}.voice.volume", "9", f"{option}.bell", f"{HERE}.Drum"]
    sounds = parse(words=words)[at]
    assert list(sounds) == ["voice", "bell"]
    assert sounds["voice"].volume == 9.0
    sounds = parse(words=[option, f'{{"drum": null, "bell": {{"class_path": "{HERE}.Drum"}}}}'])[at]
    assert list(sounds) == ["voice", "bell"]


@pytest.mark.parametrize("entry", [None, {"init_args": {"volume": 1.0}}, {"volume": 1.0}])
def test_a_misspelt_name_is_refused_and_the_others_listed(parse, entry):
    with pytest.raises(BolidError, match=r"sounds: there is no 'drumm' to change or remove \(there are: voice, drum\)"):
        parse({"drumm": entry})


@pytest.mark.parametrize("option", ["--sounds", "--band.sounds"])
@pytest.mark.parametrize("words", [[".drumm", "null"], [".drumm.volume", "3"]])
def test_nor_on_the_command_line(parse, option, words):
    with pytest.raises(BolidError, match=r"sounds: there is no 'drumm' to change or remove \(there are: voice, drum\)"):
        parse(words=[option + words[0], words[1]])


@pytest.mark.parametrize(("option", "key"), [("--sounds", "sounds"), ("--band.sounds", "band.init_args.sounds")])
def test_a_mistake_in_an_entry_names_it(parse, option, key):
    with pytest.raises(BolidError, match=rf"^{key}\.voice\.init_args: no such setting 'volum'; did you mean 'volume'"):
        parse(words=[f"{option}.voice.volum", "3"])
    with pytest.raises(BolidError, match=r"sounds\.voice\.init_args\.volume: expected float, got loud"):
        parse({"voice": {"init_args": {"volume": "loud"}}})


def test_a_name_has_no_dot(parse):
    with pytest.raises(BolidError, match=r"sounds: a name has no dot, as 'a\.b' has"):
        parse({"a.b": {"class_path": f"{HERE}.Drum"}})


def test_what_was_merged_can_be_read_again(parse, tmp_path):
    parser = Parser(prog="play")
    parser.add_argument("--config", action="config")
    parser.add_argument("--sounds", type=dict[str, Sound | None], default={})
    (tmp_path / "0.yaml").write_text(yaml.safe_dump({"sounds": BASE}, sort_keys=False))
    (tmp_path / "1.yaml").write_text(yaml.safe_dump({"sounds": {"drum": None}}))
    merged = parser.parse_args(["--config", str(tmp_path / "0.yaml"), "--config", str(tmp_path / "1.yaml")])
    (tmp_path / "2.yaml").write_text(parser.dump(merged, skip_none=False))
    assert list(parser.parse_args(["--config", str(tmp_path / "2.yaml")]).sounds) == ["voice"]
