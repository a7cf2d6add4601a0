"""Arrays to matplotlib figures, without pyplot and without TensorFlow."""
