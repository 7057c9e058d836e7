"""`bolid data inspect`: shows a data set on one page; `bolid data forget`: removes a person from it."""
