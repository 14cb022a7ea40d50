"""Retention: which checkpoints a policy keeps, as a pure decision; nothing here reads or deletes a file."""

from ckptkit.retention.candidate import Candidate
from ckptkit.retention.plan import Entry, PrunePlan, plan
from ckptkit.retention.policy import RetentionPolicy, policy_from_words
from ckptkit.retention.quantities import format_duration, format_size, parse_duration, parse_size
from ckptkit.retention.retain import Retain

__all__ = [
    "Candidate",
    "Entry",
    "PrunePlan",
    "Retain",
    "RetentionPolicy",
    "format_duration",
    "format_size",
    "parse_duration",
    "parse_size",
    "plan",
    "policy_from_words",
]
