"""Data: from files to batches of pictures with labels."""
