"""Fields as people want them: told about, painted, converted, joined into sheets, traced back to scenes."""
