"""Vision networks of the rendered world: they read proportions and attributes off its images."""
