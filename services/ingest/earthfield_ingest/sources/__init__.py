"""Sources: one file a sensor product, found through the entry points `earthfield.sources`."""
