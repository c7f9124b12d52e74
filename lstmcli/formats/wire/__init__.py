"""Encodings that several formats are built on: protobuf, flatbuffer, pickle, HDF5."""
