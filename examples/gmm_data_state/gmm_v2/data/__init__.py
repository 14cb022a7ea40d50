"""The data: mixtures drawn at random, points drawn from them, and the loaders that hand them out in batches."""
