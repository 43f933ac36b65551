"""A world of your own, from a function: a machine that wears out.

The state is its wear, 0 to 4. Run it (action 0) and it earns 10 less its wear squared, and may wear further; repair it
(action 1) and it costs 12 and is as new.

Promise: the best plan is to run it up to wear 2 and to repair it from wear 3 on; learning finds the same plan.
"""

import qfix
from qfix.envs.table_env import TableEnv

RUN, REPAIR = 0, 1


def step(wear: int, action: int) -> list[tuple[float, int, float, bool]]:
    if action == REPAIR:
        return [(1.0, 0, -12.0, False)]
    earned = 10.0 - wear**2
    return [(0.5, wear, earned, False), (0.5, min(wear + 1, 4), earned, False)]


def main() -> list[int]:
    mdp = qfix.FiniteMDP.from_function(step, n_states=5, n_actions=2, gamma=0.95)
    solution = qfix.solve(mdp)
    print(f"values {solution.v.round(2)}, policy {solution.policy}, certified to {solution.bound:.0e}")
    run = qfix.train(TableEnv(mdp), "q_learning", total_steps=200_000, gamma=0.95)
    learned = run.policy().predict(range(5))
    print(f"learned policy {learned}")
    assert list(solution.policy) == list(learned) == [RUN, RUN, RUN, REPAIR, REPAIR]
    return list(solution.policy)


if __name__ == "__main__":
    main()
