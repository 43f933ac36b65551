"""A memory in plain Python, and steps to put into one."""

import numpy as np

from qfix.replay import Transition


def random_steps(rng, n_envs, count, shape=(2,), ends=0.25, n_actions=None, dtype=np.float32):
    """Rows of N environments in which next_obs leads to the next row's obs, except where an episode ended."""
    steps = []
    obs = rng.integers(0, 200, (n_envs, *shape)).astype(dtype)
    for _ in range(count):
        next_obs = rng.integers(0, 200, (n_envs, *shape)).astype(dtype)
        ended = rng.random(n_envs) < ends
        terminated = ended & (rng.random(n_envs) < 0.5)
        mask = None if n_actions is None else rng.random((n_envs, n_actions)) < 0.7
        action = rng.integers(0, n_actions or 5, n_envs, dtype=np.int32)
        reward = rng.standard_normal(n_envs).astype(np.float32)
        steps.append(Transition(obs, action, reward, terminated, ended, next_obs, mask))
        fresh = rng.integers(0, 200, (n_envs, *shape)).astype(dtype)
        obs = np.where(ended.reshape(-1, *[1] * len(shape)), fresh, next_obs)
    return steps


def random_bits(rng, count=64):
    return rng.integers(1 << 32, size=count, dtype=np.uint32)


class Twin:
    """A list of all rows ever added, and the sentences of `qfix.replay` one by one."""

    def __init__(self, capacity, n_envs, n_step=1, gamma=0.99):
        self.n_envs, self.n_step, self.gamma = n_envs, n_step, gamma
        self.rows = next(r for r in range(1, capacity + 1) if r * n_envs >= capacity)
        self.steps = []

    @property
    def size(self):
        return min(len(self.steps), self.rows) * self.n_envs

    def window(self, index):
        """(obs, action, reward, discount, next_obs, mask_next) of one index."""
        row, env = divmod(int(index), self.n_envs)
        held = range(max(0, len(self.steps) - self.rows), len(self.steps))
        (start,) = [t for t in held if t % self.rows == row]
        reward, k = 0.0, 0
        while True:
            step = self.steps[start + k]
            reward += self.gamma**k * float(step.reward[env])
            k += 1
            if k == self.n_step or step.ended[env] or start + k == len(self.steps):
                break
        discount = self.gamma**k * (1 - int(step.terminated[env]))
        mask = None if step.mask_next is None else step.mask_next[env]
        first = self.steps[start]
        return first.obs[env], first.action[env], reward, discount, step.next_obs[env], mask

    def check(self, sample, rtol=1e-6):
        """Every draw of a sample is the window of its index."""
        batch = sample.batch
        for b, index in enumerate(np.asarray(sample.index)):
            obs, action, reward, discount, next_obs, mask = self.window(index)
            np.testing.assert_array_equal(batch.obs[b], obs)
            np.testing.assert_array_equal(batch.next_obs[b], next_obs)
            assert batch.action[b] == action
            np.testing.assert_allclose(batch.reward[b], reward, rtol, 1e-6)
            np.testing.assert_allclose(batch.discount[b], discount, rtol)
            if mask is None:
                assert batch.mask_next is None
            else:
                np.testing.assert_array_equal(batch.mask_next[b], mask)
