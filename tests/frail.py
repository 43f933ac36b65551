"""An environment that fails in ways that only a process of its own survives; other processes import this module."""

import ctypes
import multiprocessing
import os
import signal
import time
from pathlib import Path

import gymnasium

from tabular.twins import episode_seed

SEED, EPISODE, STEP = 6, 40, 3  # where it fails
LENGTH = 7


class Frail(gymnasium.Env):
    """A walk along nine states, seven steps an episode. What is wrong with it is wrong in other processes only."""

    observation_space = gymnasium.spaces.Discrete(9)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fault=None, seeds=(SEED,), folder=None):
        self.fault = fault
        self.due = {episode_seed(seed, 0, EPISODE) for seed in seeds}
        self.folder = None if folder is None else Path(folder)
        self.seeds = {episode_seed(SEED, 0, episode) for episode in range(EPISODE + 1)}
        if folder is not None:
            (self.folder / str(os.getpid())).touch()
        if elsewhere() and fault == "made":
            raise FileNotFoundError("no simulator.cfg")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.made, self.fails = int(self.np_random.integers(9)), 0, seed in self.due
        self.cursed = self.fault == "cursed" and elsewhere() and seed in self.seeds
        return self.at, {}

    def step(self, action):
        self.made += 1
        if self.fails and self.made == STEP:
            self.fail()
        if self.cursed and (self.folder / "dead").exists():
            os._exit(8)
        jump = int(self.np_random.integers(3)) if self.fault != "other" or not elsewhere() else 0
        self.at = (self.at + (2 * int(action) - 1) * jump) % 9
        return self.at, float(self.at == 4), False, self.made == LENGTH, {}

    def fail(self):
        if self.fault == "raises":
            raise ZeroDivisionError("division by zero")
        if not elsewhere():
            return
        match self.fault:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "cursed":
                (self.folder / "dead").touch()
                os._exit(7)
            case "exits":
                os._exit(7)
            case "sleeps":
                time.sleep(1_000)
            case "stuck":
                stay_in_native_code()


def elsewhere():
    """Whether this is not the process in which the training was begun."""
    return multiprocessing.parent_process() is not None


def stay_in_native_code():
    """Lock a mutex twice, with Python's own lock in hand: neither a signal nor another thread gets a word in."""
    pthreads = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(256)
    pthreads.pthread_mutex_lock(mutex)
    pthreads.pthread_mutex_lock(mutex)


def healthy():
    return Frail()


for fault in ("none", "raises", "killed", "segfault", "exits", "sleeps", "stuck", "made", "other", "cursed"):
    gymnasium.register(f"frail/{fault}-v0", entry_point="frail:Frail", kwargs={"fault": fault})
