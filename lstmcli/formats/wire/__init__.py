"""Encodings that several formats are built on: zip, protobuf, flatbuffer, pickle, HDF5."""
