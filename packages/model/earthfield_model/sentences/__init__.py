"""Frozen sentence models: texts in, vectors out; nothing of them is ever trained here."""
