"""`bolid data inspect`: a set as one page; `bolid data forget`: a person out of it."""
