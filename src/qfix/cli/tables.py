"""Tables on standard output."""

from __future__ import annotations

from typing import Any


def put_table(console: Any, table: Any) -> None:
    """Print a table of rich; where nobody watches, without the spaces that fill its lines up."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
