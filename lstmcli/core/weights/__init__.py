"""Named tensors as a model and back: recognise, decode, encode, inspect, initialise."""
