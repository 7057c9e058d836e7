"""Functions behind the commands that need several subpackages."""
