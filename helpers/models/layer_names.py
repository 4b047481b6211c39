"""Where the measurable tensors of a model are: canonical layer names.

A *tap* is a tensor of the forward pass with a canonical name, the same for
every family in which the notion exists:

- ViT and Mixer: `embed`, then per block `ln1 qkv heads attn mid ln2 fc1 act
  fc2 out` (a Mixer has `mix`, its token-mixing branch, where a ViT has
  `qkv heads attn`), then `norm`. `attn` and `fc2` are the branches as they
  are added to the residual stream (after LayerScale), `mid` is the residual
  sum between them.
- ResNet: `stem`, then per block `conv1 norm1 act1 ... out`, `norm` at the
  end of a pre-activation network. The `norm` layers of BiT include the
  activation.
- other families: the points that timm lists as features, as `<module>.out`.

Do not use the paths in here to hook a model; `helpers.features.record` does,
and knows what each tap needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

# Canonical name -> (module inside the block, is it that module's input?).
_VIT_BLOCK = {
    "ln1": ("norm1", False),
    "qkv": ("attn.qkv", False),
    "heads": ("attn.proj", True),
    "attn": ("ls1", False),
    "mid": ("norm2", True),
    "ln2": ("norm2", False),
    "fc1": ("mlp.fc1", False),
    "act": ("mlp.act", False),
    "fc2": ("ls2", False),
    "out": ("", False),
}
_MIXER_BLOCK = {
    "ln1": ("norm1", False),
    "mix": ("mlp_tokens", False),
    "mid": ("norm2", True),
    "ln2": ("norm2", False),
    "fc1": ("mlp_channels.fc1", False),
    "act": ("mlp_channels.act", False),
    "fc2": ("mlp_channels.fc2", False),
    "out": ("", False),
}
# timm's names in a residual block, in forward order, v1 and pre-activation.
_RESNET_V1_BLOCK = {
    f"{ours}{i}": (f"{theirs}{i}", False)
    for i in (1, 2, 3)
    for ours, theirs in (("conv", "conv"), ("norm", "bn"), ("act", "act"))
}
_LAST_ACT = {"act2": "conv3", "act3": "conv4"}  # else it repeats `out`
_RESNET_V2_BLOCK = {
    f"{kind}{i}": (f"{kind}{i}", False)
    for i in (1, 2, 3)
    for kind in ("norm", "conv")
}
SUBLAYERS = tuple(
    dict.fromkeys(
        [
            *("embed", *_VIT_BLOCK, *_MIXER_BLOCK, "norm", "stem"),
            *(*_RESNET_V1_BLOCK, *_RESNET_V2_BLOCK),
        ]
    )
)


@dataclass(frozen=True)
class Tap:
    """One measurable tensor of a model.

    Attributes:
        path: the module to hook, as timm names it.
        is_input: whether the tensor is that module's input, not its output.
        transposed: whether the module works on (n, channels, tokens).
    """

    path: str
    is_input: bool = False
    transposed: bool = False


def taps(module: nn.Module, family: str) -> dict[str, Tap]:
    """List the measurable layers of a timm model, in forward order.

    Args:
        module: the timm model.
        family: `vit`, `mixer`, `resnet` or `other`.
    """
    if family == "vit":
        found = {"embed": Tap("blocks.0", is_input=True)}
        found |= _block_taps(module, "blocks", _VIT_BLOCK)
        if not isinstance(module.norm, nn.Identity):
            found["norm"] = Tap("norm")
    elif family == "mixer":
        found = {"embed": Tap("blocks.0", is_input=True)}
        found |= _block_taps(module, "blocks", _MIXER_BLOCK)
        found["norm"] = Tap("norm")
    elif family == "resnet" and hasattr(module, "layer1"):
        found = {"stem": Tap("layer1", is_input=True)}
        for i in range(4):
            stage = _block_taps(module, f"layer{i + 1}", _RESNET_V1_BLOCK)
            found |= {
                f"stages.{i}{name.removeprefix(f'layer{i + 1}')}": tap
                for name, tap in stage.items()
            }
    elif family == "resnet":
        found = {"stem": Tap("stem")}
        for i, _ in enumerate(module.get_submodule("stages").children()):
            stage = _block_taps(module, f"stages.{i}.blocks", _RESNET_V2_BLOCK)
            found |= {
                name.replace(".blocks", ""): tap for name, tap in stage.items()
            }
        if not isinstance(module.norm, nn.Identity):
            found["norm"] = Tap("norm")
    else:
        info = getattr(module, "feature_info", [])
        paths = [entry["module"] for entry in info if entry.get("module")]
        found = {f"{path}.out": Tap(path) for path in paths}
    return found


def _block_taps(
    module: nn.Module, blocks: str, parts: dict[str, tuple[str, bool]]
) -> dict[str, Tap]:
    found = {}
    for i, block in enumerate(module.get_submodule(blocks).children()):
        present = {path for path, _ in block.named_modules()}
        for name, (path, is_input) in {**parts, "out": ("", False)}.items():
            if name in _LAST_ACT and _LAST_ACT[name] not in present:
                continue
            if path in present:
                full = f"{blocks}.{i}.{path}".rstrip(".")
                found[f"{blocks}.{i}.{name}"] = Tap(
                    full, is_input, transposed=name == "mix"
                )
    return found
