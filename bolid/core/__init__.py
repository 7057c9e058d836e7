"""Shared code: the schema of a sample, keypoints, identities, safe files, paths and errors."""
