"""Worlds: one definition, several views. The exact model, the Gymnasium environment, the picture.

    from qfix.envs.catalogue import CATALOGUE             the table of worlds
    from qfix.envs.world import make_world, model_of      a definition by name, and its FiniteMDP
    from qfix.envs.table_env import TableEnv              any FiniteMDP as a Gymnasium environment
    from qfix.envs.make import make_env                   any environment by id, with errors that help
    from qfix.envs.layouts import layout_of               where the states of an environment lie on paper
    from qfix.envs.spaces import discrete_codec           discrete spaces of any shape as one number
    from qfix.envs.rock_paper_scissors import exploitability   how much a mixed policy loses to who knows it

This module itself imports neither Gymnasium nor Numba: `qfix --help` passes through it.
"""

from qfix.envs.registration import register_worlds, register_worlds_with_gymnasium

__all__ = ["register_worlds", "register_worlds_with_gymnasium"]
