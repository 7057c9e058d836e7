"""Frozen vision networks: pose, face, CLIP, segmentation, and readers of proportions and attributes."""
