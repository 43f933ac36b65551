"""Work that is shared out is all done, once, also in a forked child, within itself, and after it has failed."""

import os
import subprocess
import sys
import threading

import pytest

from qfix.runs.threads import share_out


@pytest.mark.parametrize("threads", [0, 1, 2, 8])
def test_every_item_is_taken_once(threads):
    taken = []
    for _ in range(20):
        share_out(taken.append, range(50), threads)
    assert sorted(taken) == sorted(list(range(50)) * 20)


def test_items_are_taken_by_several_threads():
    """Each waits until the other has come; a caller alone would wait in vain."""
    met = threading.Barrier(2, timeout=60)
    share_out(lambda _: met.wait(), range(2), 2)


def test_what_the_work_raises_comes_out_and_the_pool_goes_on():
    def work(item):
        if item == 3:
            raise ValueError("three")

    for _ in range(5):
        with pytest.raises(ValueError, match="three"):
            share_out(work, range(8), 4)
    test_every_item_is_taken_once(4)


def test_work_may_share_out_work():
    taken = []
    share_out(lambda _: share_out(taken.append, range(10), 4), range(10), 4)
    assert len(taken) == 100


_FORKING = """
import os
from qfix.runs.threads import share_out
share_out(lambda _: None, range(4), 3)
child = os.fork()
if child == 0:
    taken = []
    try:
        share_out(taken.append, range(4), 3)
    finally:
        os._exit(0 if sorted(taken) == [0, 1, 2, 3] else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_has_threads_of_its_own():
    # in a process that has loaded nothing else: JAX, for one, does not want to be forked
    assert subprocess.run([sys.executable, "-c", _FORKING], timeout=60).returncode == 0
