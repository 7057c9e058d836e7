"""Training of the embedded bundle (`data/tiny`) from scratch on rendered people."""
