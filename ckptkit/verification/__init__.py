"""Verify checkpoints by content: presence, digests, structure, and (opt-in) a proof that they resume."""

from ckptkit.verification.levels import Verifier as Verifier
from ckptkit.verification.report import LEVELS as LEVELS
from ckptkit.verification.report import CheckpointReport as CheckpointReport
from ckptkit.verification.report import Level as Level
from ckptkit.verification.report import MarksReport as MarksReport
from ckptkit.verification.report import Report as Report
