"""What `helpers.lab.wardrobe` composes its scenes from.

- `corruptions`: five corruptions of five severities;
- `drawing`: from the key and the factors of a scene to its pixels;
- `fabrics`: procedural fabrics;
- `hashing`: random numbers that are a function of their address;
- `scenery`: cut-outs, cloth, backgrounds, lines.
"""

__all__ = ["corruptions", "drawing", "fabrics", "hashing", "scenery"]
