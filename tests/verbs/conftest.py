import pytest

from bolid.cli import main


@pytest.fixture
def run(tmp_path, bundle, monkeypatch, capsys):
    """Runs the command line in an empty folder with the random bundle; returns status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOLID_TINY", str(bundle))

    def call(*words):
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        return status, out, err

    return call
