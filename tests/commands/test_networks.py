"""`bolid networks …` from the command line, with a package made by the test."""

import pytest

from bolid.cli import main
from bolid.commands import networks as commands
from bolid.vision import networks
from tests.vision.test_fetch import FILES, entry, tar


@pytest.fixture
def run(capsys):
    """The command line: status, output, errors."""

    def call(*words):
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The path of a toy network's archive, the catalogue's one entry."""
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "toy-1.0.tgz"
    archive.write_bytes(tar(FILES))
    known = {"toy": entry(archive.read_bytes()), "twin": entry(archive.read_bytes())}
    for module in (networks, commands):
        monkeypatch.setattr(module, "NETWORKS", known)
    return archive


def test_a_given_file_is_converted_and_listed(run, toy, tmp_path):
    status, out, _ = run("networks", "list")
    assert status == 0
    assert "toy              not here  plays; MIT, 0.0 MB, from toy 1.0" in out
    status, out, _ = run("networks", "get", "toy", "--from", toy)
    assert status == 0
    assert f"{tmp_path / 'cache/toy.safetensors'}: plays; licence MIT" in out
    assert "toy              here " in run("networks", "list")[1]


def test_a_package_is_fetched_once_for_all_its_networks_and_not_again(run, toy, monkeypatch):
    fetched = []
    monkeypatch.setattr(commands, "download", lambda package, folder: fetched.append(package) or toy)
    status, out, _ = run("networks", "get", "toy", "twin")
    assert status == 0
    assert "fetching toy, twin: `npm pack toy@1.0`" in out
    assert run("networks", "get", "twin", "toy")[0] == 0
    assert len(fetched) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get", "tow"], "no network is called tow; there are toy, twin"),
        (["get", "toy", "--from", "nowhere"], "nowhere is no file; give toy.bin and toy.json or the archive"),
        (["get"], "required"),
    ],
)
def test_mistakes_are_one_line(run, toy, words, message):
    status, _, error = run("networks", *words)
    assert status == 1
    assert message in error
    assert len(error.splitlines()) == 1


def test_help_names_the_option_as_it_is_typed(run, toy, capsys):
    with pytest.raises(SystemExit):
        run("networks", "get", "--help")
    text = capsys.readouterr().out
    assert "--from FROM" in text
    assert "from_" not in text.lower()
