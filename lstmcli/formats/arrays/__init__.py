"""NumPy's files: .npy and .npz, and arrays read and written in blocks."""
