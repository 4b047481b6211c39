"""Blocks that are built without skip connections.

`SkiplessBlock` in an architecture trains a network that never had the skip
(Raghu et al. 2021, section 6, figure 8). Do not confuse it with
`helpers.measures.skip_removal`, which takes the skip from a network that
learned to rely on it.
"""

from __future__ import annotations

from typing import Any

from timm.models.mlp_mixer import MixerBlock
from timm.models.vision_transformer import Block
from torch import Tensor

BOTH = frozenset({"attn", "mlp"})


class SkiplessBlock(Block):  # type: ignore[misc]
    """A transformer block that passes on what its branches make, no more.

    Attributes:
        without: the branches, `attn` and `mlp`, that have no skip connection.
    """

    without = BOTH

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map tokens (n, t, d) to (n, t, d)."""
        branch = self.ls1(self.attn(self.norm1(x), *args, **kwargs))
        x = branch if "attn" in self.without else x + branch
        branch = self.ls2(self.mlp(self.norm2(x)))
        out: Tensor = branch if "mlp" in self.without else x + branch
        return out


class SkiplessMixerBlock(MixerBlock):  # type: ignore[misc]
    """The same for a Mixer, whose `attn` is its token mixing."""

    without = BOTH

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (n, t, d) to (n, t, d)."""
        branch = self.mlp_tokens(self.norm1(x).mT).mT
        x = branch if "attn" in self.without else x + branch
        branch = self.mlp_channels(self.norm2(x))
        out: Tensor = branch if "mlp" in self.without else x + branch
        return out
