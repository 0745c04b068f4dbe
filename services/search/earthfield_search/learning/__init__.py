"""From a few labels to a map: samples of fields, and estimates wall to wall."""
