"""Trained networks and what their steps are made of: backbones, attention, noise, the body encoder."""
