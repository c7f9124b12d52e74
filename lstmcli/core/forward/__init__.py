"""Model and inputs -> trace: the equations, the loop, batches, sequences, streaming."""
