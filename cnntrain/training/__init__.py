"""Training: stages of epochs, what is kept of them, and when they end."""
