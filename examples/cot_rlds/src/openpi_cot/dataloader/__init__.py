"""From TFRecord shards to batches of (observations, actions), with a position that can be saved."""
