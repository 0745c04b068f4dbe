"""Analyses of embedding fields: arrays in, arrays out."""
