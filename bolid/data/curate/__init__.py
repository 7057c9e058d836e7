"""`bolid data curate`: a chain of filters that says of every photo whether it serves, and why not. Nothing is deleted.

Measures are read off photos once and kept by content (`store`, `measure`, `pixels`, `people`); filters, one file each,
compare them with thresholds; `run` chains them.
"""
