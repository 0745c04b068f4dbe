"""Few-shot evaluation of fields against labels, beside composites and coordinates."""
