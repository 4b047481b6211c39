"""What hooks give: features of chosen layers and tokens.

- `names`: resolve a selection of layers to their names;
- `depth`: how deep a layer lies in its model;
- `shared`: refuse models whose layers do not correspond one to one;
- `record`: hook the selected layers for the forward passes inside;
- `extract`: run images through a model, one vector per image and layer;
- `pooled`: several vectors an image and layer, of one forward pass;
- `after_norm`: read blocks after the final norm of their model.

Single tokens are in `helpers.features.tokens`.
"""

from helpers.features.final_norm import after_norm
from helpers.features.layer_selection import depth, names, shared
from helpers.features.pooled import extract, pooled
from helpers.features.record import record

__all__ = [
    "after_norm",
    "depth",
    "extract",
    "names",
    "pooled",
    "record",
    "shared",
]
