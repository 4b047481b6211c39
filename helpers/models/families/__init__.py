"""What is known of each family of models: one file per family.

- `family`: the record that a family file fills, and what it is made of;
- `recognition`: all families, and which of them a model is of;
- `blocks`: layers, tokens and sums that many families share;
- `token_attention`: attention of families with one grid of patches.

Canonical names of layers are the same wherever the notion exists:

- transformers and Mixers: `embed`, then per block `ln1 qkv heads attn mid ln2
  fc1 act fc2 out` (a Mixer has `mix`, its token-mixing branch, where a
  transformer has `qkv heads attn`; a gated MLP has `gate` beside `fc1`), then
  `norm`. `attn` and `fc2` are the branches as they are added to the residual
  stream (after LayerScale), `mid` is the residual sum between them. Blocks
  are `blocks.3`, or `stages.1.3` where stages change the grid;
- CNNs: `stem`, then per block of a stage `conv1 norm1 act1 ... out`, and
  `norm` or `final` where one ends the network;
- networks of no known family: every block, or the points that timm lists as
  features, as `<path>.out`.

To add a family, write its file and its test, and name it in `recognition`.
"""

__all__ = ["blocks", "family", "recognition", "token_attention"]
