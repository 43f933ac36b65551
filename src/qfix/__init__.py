"""qfix: Q-learning taken to its fixed point."""

__version__ = "0.1.0"
