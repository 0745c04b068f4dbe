"""The search service over HTTP: what is there, its pictures, what is similar to a place."""
