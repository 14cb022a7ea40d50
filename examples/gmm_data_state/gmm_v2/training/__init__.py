"""The network that is trained, and one step of its training."""
