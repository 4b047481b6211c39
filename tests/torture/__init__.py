"""Campaigns that break things on purpose: `python -m tests.torture`."""
