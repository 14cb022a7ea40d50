"""Looks at training data before they are trained on."""
