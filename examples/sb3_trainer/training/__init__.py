"""Training of Stable-Baselines3 agents that goes on exactly: from episode checkpoints, as if nothing had been."""
