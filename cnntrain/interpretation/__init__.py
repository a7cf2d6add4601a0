"""What a network has learnt, as arrays: what layers make of a picture, what excites them, what speaks for a class."""
