"""Image sets: from a spec to `Images`.

- `load`: load an image set from its spec;
- `check`: refuse a spec that cannot be loaded, without loading it;
- `Images`: images of one split, in a fixed order;
- `TooFewError`: more images were asked for than there are.
"""

from helpers.images.image_set import Images
from helpers.images.specs import TooFewError, check, load

__all__ = ["Images", "TooFewError", "check", "load"]
