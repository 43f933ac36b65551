"""Watching: a training episode again, step by step, and a policy at work, on the terminal or as a film.

episode = replay("runs/lake", seed=3, episode=812)
show(episode)
play("runs/lake", video="lake.gif")
"""

from qfix.playback.playing import Played, play
from qfix.playback.replaying import Replay, Step, replay
from qfix.playback.screen import show, texts

__all__ = ["Played", "Replay", "Step", "play", "replay", "show", "texts"]
