"""Keys, what they sign, and who is trusted; cryptography is imported only where a key is read."""
