"""What trains the embedded bundle (`data/tiny`) from nothing, on rendered people."""
