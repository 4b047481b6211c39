"""What `helpers.wardrobe` composes its scenes from."""
