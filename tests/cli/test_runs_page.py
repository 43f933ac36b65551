"""The sessions of docs/runs.md and of the README's section on runs, typed again one after the other, and its files."""

import re
import shlex
import signal
from pathlib import Path

import pytest

from qfix import experiment
from qfix.cli import main

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?:text\n(?=\$ qfix )|(?=toml\n))(.*?)^```$", flags=re.M | re.S)
PAGES = {"runs.md": ROOT / "docs" / "runs.md", "README.md": ROOT / "README.md"}


def typed(line, capsys):
    """What a terminal shows of a command."""
    main(shlex.split(line.removeprefix("$ qfix ")))
    captured = capsys.readouterr()
    told = [row for row in captured.err.splitlines() if not row.startswith("Alert: ")]
    first = [row for row in told if row.startswith("Restored: ")]
    return [*first, *captured.out.splitlines(), *(row for row in told if row not in first)]


def to_compare(row):
    """A line without what the clock decides."""
    if "steps/s" in row:
        return re.sub(r", after .*|[\d.]+ [kMG]?", "", row)
    if row.startswith("Restored: "):
        return re.sub(r"[\d,]+", "#", row)
    row = re.sub(r"\d+ (s|min)$", "#", row.rstrip())
    return " ".join(re.sub(r"\S+ of 2M", "# of 2M", row).split())


def stopped_soon(*args, train=experiment.train, **options):
    """Training, with somebody at Ctrl-C."""

    def progress(made, total, seconds):
        if made > 50_000:
            signal.raise_signal(signal.SIGINT)

    return train(*args, **options | {"progress": progress})


@pytest.mark.parametrize("page", PAGES)
def test_a_session_goes_as_the_page_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "88")
    blocks = [block.splitlines() for block in FENCE.findall(PAGES[page].read_text(encoding="utf-8"))]
    assert blocks
    for line, *shown in blocks:
        if line == "toml":
            (tmp_path / "settings.toml").write_text("\n".join(shown))
            continue
        if shown[0] != "^C":
            printed = [to_compare(row) for row in typed(line, capsys)]
            expected = [to_compare(row) for row in shown]
            if "..." in expected:
                cut = expected.index("...")
                head, tail = expected[:cut], expected[cut + 1 :]
                assert len(printed) > len(head) + len(tail)
                printed, expected = printed[: len(head)] + printed[-len(tail) :], head + tail
            assert printed == expected
            continue
        with monkeypatch.context() as patch:
            patch.setattr(experiment, "train", stopped_soon)
            printed = typed(line, capsys)
        # where it was stopped is chance; the shape is not
        assert printed[-1] == shown[-1]
        assert printed[0].split(":")[0] == shown[1].split(":")[0]
        assert rows_of(shown) <= rows_of(printed)


def rows_of(lines):
    """Names of the rows of a table."""
    return {row.split()[0] for row in lines if re.match(r"(\d+|mean|IQM|optimal|random) ", row)}
