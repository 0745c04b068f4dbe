"""The jobs of the search service, a module a question: each loads only the libraries that it needs."""
