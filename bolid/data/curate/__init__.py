"""`bolid data curate`: a chain of filters that decides for every photo whether it is usable, with a reason. Nothing is
deleted.

Measures of photos are computed once and stored by content (`store`, `measure`, `pixels`, `people`); filters, one file
each, compare them with thresholds; `run` chains them.
"""
