"""Stands in for ale_py: registers its ids when it is imported."""

import gymnasium

from envs.broken_worlds import Fine

for game in ("ALE/Pong-v5", "PongNoFrameskip-v4"):
    gymnasium.register(game, entry_point=Fine)
