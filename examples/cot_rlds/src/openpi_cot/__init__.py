"""A chain-of-thought policy on RLDS episodes: data loader and training, resumable at the very next batch."""

import os

# Before TensorFlow is imported: it talks a lot, and rounds differently with oneDNN on other machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
