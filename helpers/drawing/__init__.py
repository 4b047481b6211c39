"""What `helpers.charts` is made of; pages import that module alone."""
