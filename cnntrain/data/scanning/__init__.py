"""What a look at the pictures tells: each file for itself, and all of them together."""
