"""What is known of the checkpoints of a store without reading them again."""
