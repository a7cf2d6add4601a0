"""Model and weights files that may be anybody's: read in plain Python, checked, and only then built and believed."""
