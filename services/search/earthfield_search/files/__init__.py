"""Answers as files: rasters, shapes, tables and pictures."""
