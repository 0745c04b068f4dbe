"""Timelines of a place: what is asked and answered, what it is compared with, and what is written."""
