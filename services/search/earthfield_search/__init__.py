"""The search service: cells in a vector index, and the questions that fields answer."""
