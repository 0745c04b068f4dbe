"""The jobs of the search service: index, find, cluster, compare."""

from earthfield_search.jobs.index import index_field, index_fields

__all__ = ["index_field", "index_fields"]
