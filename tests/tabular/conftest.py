"""Worlds registered, and kernels compiled once: tests of one algorithm share a worker under `--dist loadgroup`."""

from pathlib import Path

import pytest

from qfix.envs import register_worlds

register_worlds()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            chosen = getattr(item, "callspec", None)
            algorithm = chosen.params.get("algorithm", "q_learning") if chosen else "q_learning"
            item.add_marker(pytest.mark.xdist_group(algorithm))
