"""What documents show, and what JSON documents are said to be."""
