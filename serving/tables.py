"""Names of the offline store's tables."""

from __future__ import annotations


def events_table(source: str) -> str:
    """Table of a source's events."""
    return f"events/{source}"


def dead_table(source: str) -> str:
    """Table of a source's dead letters."""
    return f"dead_letters/{source}"


def rows_table(view: str, rows_fingerprint: str) -> str:
    """Table of a view's rows."""
    return f"rows/{view}/{rows_fingerprint}"
