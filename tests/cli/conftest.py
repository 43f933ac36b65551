"""Running a command as a user does, in a folder of its own."""

from typing import NamedTuple

import pytest

from qfix.cli import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def qfix_command(tmp_path, monkeypatch, capsys):
    """Runs a command line within this process; gives its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> Answer:
        code = main(list(words))
        return Answer(code, *capsys.readouterr())

    return run
