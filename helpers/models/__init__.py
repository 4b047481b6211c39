"""Vision models: from a spec to a `VisionModel`.

- `load`: load a model from its spec;
- `check`: refuse a spec that cannot be loaded, without loading it;
- `untrained`: the spec of the same architecture without trained weights;
- `wrap`: describe a timm model that is already in memory;
- `VisionModel`: a model with all that a measurement must know of it.

The models trained here are in `helpers.models.zoo`.
"""

from typing import TYPE_CHECKING

from helpers.runtime.lazy import lazy

if TYPE_CHECKING:
    from helpers.models.specs import check, load, untrained
    from helpers.models.vision_model import VisionModel, wrap
else:
    __getattr__ = lazy(__name__)

__all__ = ["VisionModel", "check", "load", "untrained", "wrap"]
