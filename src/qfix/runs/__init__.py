"""The record of a run. Nothing here learns."""

from qfix.runs.spec import RunSpec

__all__ = ["RunSpec"]
