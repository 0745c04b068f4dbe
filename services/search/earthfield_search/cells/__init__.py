"""What the vector index holds, how it is filtered, built and kept quick."""
