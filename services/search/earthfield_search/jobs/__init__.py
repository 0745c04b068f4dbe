"""The jobs of the search service: index, find, cluster, compare."""

from earthfield_search.jobs.change import ChangeAnswer, ChangeQuestion, Patch, detect_change
from earthfield_search.jobs.cluster import ClusterAnswer, ClusterQuestion, ClusterSize, cluster_fields
from earthfield_search.jobs.index import index_field, index_fields
from earthfield_search.jobs.similar import (
    Hit,
    SimilarAnswer,
    SimilarQuestion,
    find_similar,
    similarity_map,
    write_similar,
)

__all__ = [
    "ChangeAnswer",
    "ChangeQuestion",
    "ClusterAnswer",
    "ClusterQuestion",
    "ClusterSize",
    "Hit",
    "Patch",
    "SimilarAnswer",
    "SimilarQuestion",
    "cluster_fields",
    "detect_change",
    "find_similar",
    "index_field",
    "index_fields",
    "similarity_map",
    "write_similar",
]
