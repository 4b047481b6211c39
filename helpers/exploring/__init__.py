"""The widgets behind `helpers.explorers`; pages call that module."""
