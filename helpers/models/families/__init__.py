"""What is known of each family of models: one file a family.

- `Family`: the record that a family file fills;
- `FAMILIES`: all of them;
- `recognise`: find the family of a model.

Canonical names of layers are the same wherever the notion exists:

- transformers and Mixers: `embed`, then per block `ln1 qkv heads attn mid ln2
  fc1 act fc2 out` (a Mixer has `mix`, its token-mixing branch, where a
  transformer has `qkv heads attn`), then `norm`. `attn` and `fc2` are the
  branches as they are added to the residual stream (after LayerScale), `mid`
  is the residual sum between them;
- CNNs: `stem`, then per block of a stage `conv1 norm1 act1 ... out`, and
  `norm` where a norm ends the network;
- networks of no known family: the points that timm lists as features, as
  `<module>.out`.

To add a family, write its file and its test, and name it in `recognition`.
"""

from helpers.models.families.family import Family
from helpers.models.families.recognition import FAMILIES, recognise

__all__ = ["FAMILIES", "Family", "recognise"]
