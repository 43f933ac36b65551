"""The learners again, slowly and by the book: dictionaries, lists and whole formulas, on any Gymnasium env.

Nothing here comes from qfix. The random stream (splitmix64), the order of draws and the seed of an episode
are written down once more, because the compiled learners must agree with these draw for draw.

Sources: Sutton & Barto (2018), the boxes of sections 5.4, 6.4 to 6.7, 7.2, 7.5, 8.2, 8.4, 12.7 and 12.10; for the
planners' stochastic worlds sections 8.1 (sample models) and 8.5 (expected updates).
"""

from __future__ import annotations

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


class Stream:
    """splitmix64 in Python's whole numbers."""

    def __init__(self, state):
        self.state = state

    def bits(self):
        self.state = (self.state + GOLDEN) & MASK
        return mix(self.state)


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def episode_seed(run_seed, env_index, episode):
    h = mix((run_seed + GOLDEN) & MASK)
    h = mix(h ^ mix((env_index + 2 * GOLDEN) & MASK))
    return mix(h ^ mix((episode + 3 * GOLDEN) & MASK)) >> 1


def pick(things, bits):
    """One of a list by the lower 32 bits."""
    return things[(bits % 2**32) * len(things) >> 32]


class Twin:
    """Q in a dictionary, an ε-greedy behaviour, and an environment.

    `alpha(n, episode, step)` and `epsilon(visits, episode, step, t)` are functions of the counters.
    """

    acts_first = False  # whether the next action is chosen before the update

    def __init__(self, q, gamma, alpha, epsilon, seed, **options):
        self.n_actions = len(q[0])
        self.q = {(s, a): float(x) for s, row in enumerate(q) for a, x in enumerate(row)}
        self.gamma, self.alpha, self.epsilon, self.seed = gamma, alpha, epsilon, seed
        self.stream = Stream(episode_seed(seed, 2**32, 0))
        self.visits = dict.fromkeys(self.q, 0)
        self.step, self.episode, self.t = 0, 0, 0
        self.returns, self.lengths = [], []
        for name, value in options.items():
            setattr(self, name, value)
        self.prepare()

    def prepare(self):
        """Before the run."""

    def begin(self):
        """Before an episode."""

    # values

    def row(self, s):
        return [self.q[s, a] for a in range(self.n_actions)]

    def best(self, s):
        return max(self.row(s))

    def greedy(self, s):
        return [a for a in range(self.n_actions) if self.q[s, a] == self.best(s)]

    def policy(self, s, epsilon):
        """Probabilities of the ε-greedy policy; ties share."""
        best = self.greedy(s)
        return [
            epsilon / self.n_actions + ((1 - epsilon) / len(best) if a in best else 0.0)
            for a in range(self.n_actions)
        ]

    def rate(self, s, a):
        """The step size of this update."""
        n = self.visits[s, a]
        self.visits[s, a] += 1
        return self.alpha(n, self.episode, self.step)

    def move(self, s, a, target):
        self.q[s, a] += self.rate(s, a) * (target - self.q[s, a])

    def state_visits(self, s):
        return sum(self.visits[s, a] for a in range(self.n_actions))

    # the run

    def act(self, s, step, t):
        bits = self.stream.bits()
        if (bits >> 32) / 2**32 < self.epsilon(self.state_visits(s), self.episode, step, t):
            return pick(range(self.n_actions), bits)
        return pick(self.greedy(s), bits)

    def run(self, env, steps):
        s, _ = env.reset(seed=episode_seed(self.seed, 0, 0))
        a, total = self.act(s, 0, 0), 0.0
        self.begin()
        for _ in range(steps):
            s2, r, terminated, truncated, _ = env.step(a)
            total += r
            a2 = self.act(s2, self.step + 1, self.t + 1) if self.acts_first else None
            self.learn(s, a, r, 0.0 if terminated else self.gamma, s2, a2, terminated or truncated)
            self.step += 1
            self.t += 1
            if terminated or truncated:
                self.returns.append(total)
                self.lengths.append(self.t)
                self.episode, self.t, total = self.episode + 1, 0, 0.0
                s2, _ = env.reset(seed=episode_seed(self.seed, 0, self.episode))
                a2 = self.act(s2, self.step, 0)
                self.begin()
            elif a2 is None:
                a2 = self.act(s2, self.step, self.t)
            s, a = s2, a2
        return self


class QLearning(Twin):
    def learn(self, s, a, r, discount, s2, a2, ended):
        self.move(s, a, r + discount * self.best(s2))


class Sarsa(Twin):
    acts_first = True

    def learn(self, s, a, r, discount, s2, a2, ended):
        self.move(s, a, r + discount * self.q[s2, a2])


class ExpectedSarsa(Twin):
    def learn(self, s, a, r, discount, s2, a2, ended):
        epsilon = self.epsilon(self.state_visits(s2), self.episode, self.step + 1, self.t + 1)
        expected = sum(p * q for p, q in zip(self.policy(s2, epsilon), self.row(s2)))
        self.move(s, a, r + discount * expected)


class DoubleQLearning(Twin):
    def prepare(self):
        self.tables = [dict(self.q), dict(self.q)]
        self.updates = [dict.fromkeys(self.visits, 0), dict.fromkeys(self.visits, 0)]

    def learn(self, s, a, r, discount, s2, a2, ended):
        bits = self.stream.bits()
        chosen, other = self.tables if bits < 2**63 else self.tables[::-1]
        updates = self.updates[bits >> 63]
        rate = self.alpha(updates[s, a], self.episode, self.step)
        updates[s, a] += 1
        self.visits[s, a] += 1
        row = [chosen[s2, b] for b in range(self.n_actions)]
        best = pick([b for b in range(self.n_actions) if row[b] == max(row)], bits)
        chosen[s, a] += rate * (r + discount * other[s2, best] - chosen[s, a])
        self.q[s, a] = (self.tables[0][s, a] + self.tables[1][s, a]) / 2


class NStepSarsa(Twin):
    acts_first = True

    def begin(self):
        self.path = []  # (s, a, r, discount)

    def learn(self, s, a, r, discount, s2, a2, ended):
        self.path.append((s, a, r, discount))
        while len(self.path) == self.n or (ended and self.path):
            target, weight = 0.0, 1.0
            for _, _, reward, after in self.path:
                target += weight * reward
                weight *= after
            s0, a0, _, _ = self.path.pop(0)
            self.move(s0, a0, target + weight * self.q[s2, a2])


class NStepTreeBackup(Twin):
    def begin(self):
        self.path = []

    def backed_up(self, k, s2):
        """G of the k-th step of the path, by the recursive definition."""
        _, _, r, discount = self.path[k]
        follower = s2 if k == len(self.path) - 1 else self.path[k + 1][0]
        pi, row = self.policy(follower, self.target_epsilon), self.row(follower)
        if k == len(self.path) - 1:
            return r + discount * sum(p * q for p, q in zip(pi, row))
        taken = self.path[k + 1][1]
        rest = sum(pi[b] * row[b] for b in range(self.n_actions) if b != taken)
        return r + discount * (rest + pi[taken] * self.backed_up(k + 1, s2))

    def learn(self, s, a, r, discount, s2, a2, ended):
        self.path.append((s, a, r, discount))
        while len(self.path) == self.n or (ended and self.path):
            target = self.backed_up(0, s2)
            s0, a0, _, _ = self.path.pop(0)
            self.move(s0, a0, target)


class WatkinsQLambda(Twin):
    acts_first = True

    def begin(self):
        self.e = dict.fromkeys(self.q, 0.0)

    def learn(self, s, a, r, discount, s2, a2, ended):
        delta = r + discount * self.best(s2) - self.q[s, a]
        cut = a2 not in self.greedy(s2)
        rate = self.rate(s, a)
        self.e[s, a] = 1.0
        for pair in self.e:
            self.q[pair] += rate * delta * self.e[pair]
            self.e[pair] *= 0.0 if cut else discount * self.lambda_


class SarsaLambda(Twin):
    """True online, with one-hot features written out as in the box of section 12.7."""

    acts_first = True

    def begin(self):
        self.z = dict.fromkeys(self.q, 0.0)
        self.q_old = 0.0

    def learn(self, s, a, r, discount, s2, a2, ended):
        alpha = self.rate(s, a)
        q, q_next = self.q[s, a], self.q[s2, a2]
        delta = r + discount * q_next - q
        decay = self.gamma * self.lambda_
        dot = self.z[s, a]
        for pair in self.z:
            x = float(pair == (s, a))
            self.z[pair] = decay * self.z[pair] + (1 - alpha * decay * dot) * x
            self.q[pair] += alpha * (delta + q - self.q_old) * self.z[pair] - alpha * (q - self.q_old) * x
        self.q_old = q_next


class MonteCarlo(Twin):
    acts_first = True
    first_visit = False

    def begin(self):
        self.path = []

    def learn(self, s, a, r, discount, s2, a2, ended):
        self.path.append((s, a, r, discount))
        if not ended:
            return
        g = self.q[s2, a2]  # only counts where the end is a truncation
        while self.path:
            s0, a0, reward, after = self.path.pop()
            g = reward + after * g
            if not self.first_visit or (s0, a0) not in [step[:2] for step in self.path]:
                self.move(s0, a0, g)


class Planner(Twin):
    """What was seen: for each pair the rewards that came with each (next state, discount)."""

    def prepare(self):
        self.model = {}  # a dictionary keeps the order of first visits

    def remember(self, s, a, r, discount, s2):
        self.model.setdefault((s, a), {}).setdefault((s2, discount), []).append(r)

    def outcome_target(self, pair, outcome):
        (s2, discount), rewards = outcome, self.model[pair][outcome]
        return sum(rewards) / len(rewards) + discount * self.best(s2)


class DynaQ(Planner):
    def learn(self, s, a, r, discount, s2, a2, ended):
        self.move(s, a, r + discount * self.best(s2))
        self.remember(s, a, r, discount, s2)
        for _ in range(self.planning_steps):
            bits = self.stream.bits()
            pair = pick(list(self.model), bits)
            ballot = [outcome for outcome, rewards in self.model[pair].items() for _ in rewards]
            self.move(*pair, self.outcome_target(pair, pick(ballot, bits >> 32)))


class PrioritizedSweeping(Planner):
    def prepare(self):
        super().prepare()
        self.queue = {}

    def expected_target(self, pair):
        outcomes = self.model[pair]
        total = sum(map(len, outcomes.values()))
        return sum(len(outcomes[key]) * self.outcome_target(pair, key) for key in outcomes) / total

    def consider(self, pair):
        priority = abs(self.expected_target(pair) - self.q[pair])
        if priority > self.theta:
            self.queue[pair] = max(priority, self.queue.get(pair, 0.0))

    def learn(self, s, a, r, discount, s2, a2, ended):
        self.remember(s, a, r, discount, s2)
        self.consider((s, a))
        for _ in range(self.planning_steps):
            if not self.queue:
                break
            pair = max(self.queue, key=self.queue.get)
            del self.queue[pair]
            self.move(*pair, self.expected_target(pair))
            for leading, outcomes in self.model.items():
                if any(led_to == pair[0] for led_to, _ in outcomes):
                    self.consider(leading)


TWINS = {
    "q_learning": QLearning,
    "double_q_learning": DoubleQLearning,
    "sarsa": Sarsa,
    "expected_sarsa": ExpectedSarsa,
    "n_step_sarsa": NStepSarsa,
    "n_step_tree_backup": NStepTreeBackup,
    "watkins_q_lambda": WatkinsQLambda,
    "sarsa_lambda": SarsaLambda,
    "monte_carlo": MonteCarlo,
    "dyna_q": DynaQ,
    "prioritized_sweeping": PrioritizedSweeping,
}
