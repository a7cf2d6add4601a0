"""`python -m cnntrain` is the command line."""

from cnntrain.cli import main

main()
