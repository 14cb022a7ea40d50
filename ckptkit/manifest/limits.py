"""Limits and words of the format, shared by light and strict reading."""

MAX_BYTES = 64 << 20
"""Size of the longest manifest that is read, in bytes."""

GRADES = ("complete", "complete-with-barrier", "until", "weights-only", "partial")
"""From best to worst; a checkpoint's grade is the worst of its items."""

OLD_GRADES = {
    "exact": "complete",
    "exact-with-barrier": "complete-with-barrier",
    "exact-until": "until",
    "weights-only": "weights-only",
    "not-captured": "partial",
}
"""The words of manifests before 1.1, which had one field ``exactness`` for what is captured and what is claimed."""
