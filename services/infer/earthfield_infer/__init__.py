"""The infer service: cubes to embedding fields."""
