"""Outputs in documents, and the schemas of JSON documents."""
