"""Checks of training data for ckptkit: leaks between episodes and between the splits of a LeRobot dataset."""
