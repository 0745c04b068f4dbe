"""Serving an encoder: what travels, what the server runs, where the server comes from."""
