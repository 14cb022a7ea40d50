"""Verification reports in the formats that people and continuous integration read; all from one result model."""
