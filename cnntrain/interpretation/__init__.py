"""What a network has learnt, as arrays: what its layers make of a picture."""
