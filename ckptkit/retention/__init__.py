"""Retention: which checkpoints a policy keeps, as a pure decision; nothing here reads or deletes a file."""

from typing import TYPE_CHECKING

from ckptkit.renamed import new_name
from ckptkit.retention.candidate import Candidate
from ckptkit.retention.plan import PlanEntry, PrunePlan, plan
from ckptkit.retention.policy import RetentionPolicy, policy_from_words
from ckptkit.retention.quantities import format_duration, format_size, parse_duration, parse_size
from ckptkit.retention.retain import Retain

__all__ = [
    "Candidate",
    "PlanEntry",
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

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        new_name(__name__, name, {"Entry": "PlanEntry"})
        return PlanEntry
