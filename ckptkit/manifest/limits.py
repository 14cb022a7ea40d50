"""Limits and words of the format that reading light and reading strictly share."""

MAX_BYTES = 64 << 20
"""Longest manifest that is read."""

GRADES = ("complete", "complete-with-barrier", "until", "weights-only", "partial")
"""From best to worst; a checkpoint's grade is the least of its items."""

OLD_GRADES = {
    "exact": "complete",
    "exact-with-barrier": "complete-with-barrier",
    "exact-until": "until",
    "weights-only": "weights-only",
    "not-captured": "partial",
}
"""The words of manifests before 1.1, which had one field ``exactness`` for what is captured and what is claimed."""
