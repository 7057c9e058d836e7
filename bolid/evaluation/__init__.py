"""Any method by any metric: protocol, statistics, report and picture sheet."""
