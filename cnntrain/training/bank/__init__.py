"""The feature bank: what frozen layers answer to every picture, computed once and kept on disk."""
