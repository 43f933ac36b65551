"""A time limit counts the environment's time and nobody else's; tests/tabular/test_faults.py has it in a training."""

import time

import pytest

from qfix.envs.time_limit import TimeLimit
from qfix.errors import EnvironmentFault


def test_time_that_is_not_the_environment_s_does_not_count():
    with TimeLimit(0.1, lambda: 0) as limit:
        limit.paused = True
        time.sleep(0.3)
        limit.paused = False
    with pytest.raises(EnvironmentFault, match=r"0\.1 seconds a step"), TimeLimit(0.1, lambda: 0):
        time.sleep(60)
