"""What the default edition is made of.

- `architectures`: small peers, all of timm's classes;
- `photographs`: the photographs of the natural edition;
- `skipless_blocks`: blocks that are built without skip connections;
- `wardrobe`: small colour scenes of which every factor is known.
"""

__all__ = ["architectures", "photographs", "skipless_blocks", "wardrobe"]
