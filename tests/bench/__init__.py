"""Timings and errors against the alternatives: `make bench`."""
