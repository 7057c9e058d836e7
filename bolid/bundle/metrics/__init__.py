"""Scores of the networks that the embedded bundle is made of."""
