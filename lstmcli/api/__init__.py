"""One module a use case, each joining files and the core; the commands are thin over these."""
