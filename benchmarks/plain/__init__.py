"""The other side of the comparisons: scripts in plain Keras as a user would write them, each runnable by itself."""
