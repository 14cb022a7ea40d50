"""What is known of the checkpoints of a store: manifests, item files, pins, evidence, the last save, what verified."""
