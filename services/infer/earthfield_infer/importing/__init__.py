"""Reading embedding fields that others publish, and keeping them as fields of a name of their own."""
