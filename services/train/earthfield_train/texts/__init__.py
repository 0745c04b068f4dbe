"""Texts in training: which lie near a sample, their frozen vectors, and the loss that draws fields to them."""
