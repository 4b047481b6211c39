"""Measures of one model, and of the answers of several.

- `agreement`: do two models give the same answers;
- `attention`: where heads look, and how far attention reaches;
- `attention_distance`: the distances of attention as numbers;
- `attention_weights`: the attention weights of single heads;
- `f1`: F1 between the answers of two models;
- `field_statistics`: what an effective receptive field says, as numbers;
- `head_cka`: what single heads pass on, compared with other layers;
- `kendall`: Kendall's tau on the top of two rankings;
- `layer_positions`: which position of a layer lies over a point;
- `localization`: which part of the image a token stands for;
- `localization_statistics`: what a map of tokens and patches says;
- `norms`: how long tokens are, and which are outliers;
- `receptive_fields`: which pixels a position of a layer answers to;
- `residual`: skip connection against branch in a residual sum;
- `residual_sums`: the residual sums of a model;
- `shift`: how far an image set is from another;
- `sinks`: tokens that much attention falls on, whatever they hold;
- `skip_removal`: take skip connections from a trained network;
- `token_choice`: read layers without registers and outliers;
- `token_replacement`: put other content into tokens of a running network.
"""

__all__ = [
    "agreement",
    "attention",
    "attention_distance",
    "attention_weights",
    "f1",
    "field_statistics",
    "head_cka",
    "kendall",
    "layer_positions",
    "localization",
    "localization_statistics",
    "norms",
    "receptive_fields",
    "residual",
    "residual_sums",
    "shift",
    "sinks",
    "skip_removal",
    "token_choice",
    "token_replacement",
]
