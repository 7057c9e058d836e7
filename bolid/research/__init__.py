"""Finished experiments: the oracle, its distillation, and the supervised upper bound of stage 1."""
