"""Rendered people with exact ground truth, and readers and metrics for them."""
