"""Figures of a run."""

from __future__ import annotations

from pathlib import Path

from qfix.report.summary import Summary


def draw_figures(summary: Summary, folder: Path) -> list[Path]:
    """Draw."""
    return []
