"""What a fit minimises, one idea per file; a loss says which samples it can score."""
