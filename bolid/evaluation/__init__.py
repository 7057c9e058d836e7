"""Evaluation of any method by any metric: protocol, statistics, report and image sheet."""
