"""Faults that a run survives."""
