"""Verify checkpoints by content: presence, digests, structure, and (opt-in) a proof that they resume."""

from typing import TYPE_CHECKING

from ckptkit.renamed import new_name
from ckptkit.verification.levels import Verifier as Verifier
from ckptkit.verification.presence import ELSEWHERE as ELSEWHERE
from ckptkit.verification.report import LEVELS as LEVELS
from ckptkit.verification.report import CheckpointReport as CheckpointReport
from ckptkit.verification.report import Level as Level
from ckptkit.verification.report import Mark as Mark
from ckptkit.verification.report import RefsReport as RefsReport
from ckptkit.verification.report import Report as Report
from ckptkit.verification.report import RuleReport as RuleReport
from ckptkit.verification.report import mark as mark

if TYPE_CHECKING:
    MarksReport = RefsReport
else:

    def __getattr__(name: str) -> type:
        return globals()[new_name(__name__, name, {"MarksReport": "RefsReport"})]
