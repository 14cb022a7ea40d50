"""Checks of training data for ckptkit: leaks between episodes and between the splits of a LeRobot dataset."""

from ckptkit_data.findings import Finding, Report, TestResult
from ckptkit_data.tester import DatasetLeakageTester

__all__ = ["DatasetLeakageTester", "Finding", "Report", "TestResult"]
