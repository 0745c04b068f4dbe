"""Clusters that keep their numbers and colours."""
