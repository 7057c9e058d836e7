"""Finished experiments: the oracle, its distillation, scaled conditions, and the supervised upper bound of stage 1."""
