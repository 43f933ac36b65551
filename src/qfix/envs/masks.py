"""What environments say of the actions that they allow."""

from __future__ import annotations

MASK = "action_mask"
"""What the info of a reset or a step calls it: (A,) truths, one for each action that may be taken next."""
