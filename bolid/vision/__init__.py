"""Frozen networks that read photos: pose, face, CLIP, silhouettes, and the readers that losses ask."""
