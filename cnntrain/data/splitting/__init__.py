"""Splitting pictures into training, validation and test without leaks."""
