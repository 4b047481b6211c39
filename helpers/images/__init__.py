"""Image sets: from a spec to `Images`.

- `load`: load an image set from its spec;
- `check`: refuse a spec that cannot be loaded, without loading it;
- `Images`: images of one split, in a fixed order;
- `TooFewError`: more images were asked for than there are.
"""

from typing import TYPE_CHECKING

from helpers.runtime.lazy import lazy

if TYPE_CHECKING:
    from helpers.images.image_set import Images
    from helpers.images.specs import TooFewError, check, load
else:
    __getattr__ = lazy(__name__)

__all__ = ["Images", "TooFewError", "check", "load"]
