"""Change between two periods: fields compared strip by strip, patches described, both drawn side by side."""
