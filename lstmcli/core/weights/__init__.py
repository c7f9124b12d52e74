"""Named tensors <-> model: recognise, decode, encode, inspect, initialise."""
