"""The rendered world: people with exact ground truth, and what reads and measures them."""
