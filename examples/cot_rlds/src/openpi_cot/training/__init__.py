"""Configuration, policy and checkpoints of the training program."""
