"""A run that is killed again and again ends as the run that nobody killed. The campaign: benchmarks/faults.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its runs")


def killing(folder, *words):
    command = [sys.executable, Path(__file__).with_name("killing.py"), folder, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.split(":")[0]: int(re.search(r"killed (\d+)", line)[1]) for line in done.stdout.splitlines()}


def test_killed_at_random_moments(tmp_path):
    killed = killing(tmp_path, "--stride", "0", "--kills", "4", "--cases", "taxi,live")
    assert all(n >= 4 for n in killed.values())
    assert killed.keys() == {"taxi", "live"}


def test_killed_before_every_40th_call_that_changes_files(tmp_path):
    killed = killing(tmp_path, "--stride", "40", "--cases", "")
    assert killed["step by step"] >= 5
