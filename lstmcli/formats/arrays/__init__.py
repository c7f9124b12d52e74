"""NumPy's own files: .npy and .npz, and arrays read and written in blocks."""
