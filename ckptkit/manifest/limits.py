"""Limits and words of the format that reading light and reading strictly share."""

MAX_BYTES = 64 << 20
"""Longest manifest that is read."""

GRADES = ("exact", "exact-with-barrier", "exact-until", "weights-only", "not-captured")
"""From best to worst; a checkpoint's grade is the least of its items."""
