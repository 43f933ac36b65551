"""Compiled programs are shared: a file of tests stays with one worker under `--dist loadgroup`."""

from pathlib import Path

import pytest

from deep.running import quick_compilation  # noqa: F401 - a fixture for every test here
from qfix.envs import register_worlds

register_worlds()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(f"deep {item.path.stem}"))
