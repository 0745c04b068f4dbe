"""Texts that have a place: articles, occurrences and map features, with their licence, as one GeoParquet table."""
