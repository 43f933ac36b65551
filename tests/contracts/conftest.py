"""The worlds are registered for every test here."""

from qfix.envs import register_worlds

register_worlds()
