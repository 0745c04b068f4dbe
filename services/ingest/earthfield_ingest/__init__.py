"""Ingest: scenes of STAC catalogues into aligned cubes."""
