"""A model's answers as arrays, and pure measures of them."""
