"""The roles that each page has for models, which a new edition fills."""

KINDS = {
    "vit": "a ViT",
    "three": "three ViTs of one depth",
    "cls": "a ViT with a class token",
    "gap": "a ViT without one",
    "cnn": "a ResNet",
    "mixer": "a Mixer",
}
SELF_SUPERVISED = ("contrastive", "distilled", "reconstructive")
THREE = dict.fromkeys(SELF_SUPERVISED, "three")
ROLES: dict[str, dict[str, str]] = {
    "intro": {"vit": "vit", "resnet": "cnn"},
    "representation_structure": {
        "vit": "vit",
        "resnet": "cnn",
        "second_vit": "vit",
        "second_resnet": "cnn",
    },
    "receptive_fields": {
        "vit": "vit",
        "resnet": "cnn",
        "untrained": "untrained",
    },
    "skip_connections": {
        "vit": "vit",
        "resnet": "cnn",
        "early": "lab",
        "middle": "lab",
    },
    "spatial_localization": {"vit": "cls", "gap_vit": "gap", "cnn": "cnn"},
    "mixers": {"mixer": "mixer", "vit": "vit", "resnet": "cnn"},
    "ssl_structure": THREE | {"one_seed": "lab", "other_seed": "lab"},
    "ssl_layer_types": THREE,
    "ssl_class_separability": THREE,
    "ssl_predictions": THREE,
    "layers_under_shift": {"frozen": "vit", "finetuned": "none"},
    "modules_under_shift": {"model": "vit"},
    "what_is_encoded_where": {
        "supervised": "lab",
        **dict.fromkeys(SELF_SUPERVISED, "lab"),
        "others": "all",
        "untrained": "lab",
    },
    "your_model": {"model": "first", "peers": "rest"},
}
"""Page to its model parameters and what each may hold; `lab` stays."""
LEFT = {
    "the_lab": "is about the lab's own models and images",
    "measuring_similarity": "takes two trainings of one architecture",
    "local_and_global": "takes ViTs taught with more and with less data",
    "localized_probes": "takes a ViT with and one without a class token, and "
    "num_train images enough for `shots` of every class",
    "scale_and_transfer": "takes one architecture taught with more and with "
    "less data, and num_train images enough for `shots` of every class",
    "finetuning_and_representations": "takes pairs before and after "
    "fine-tuning, and the images of each",
    "ssl_finetuning": "takes two models before and after fine-tuning",
}
"""Pages that no list of models can fill, and what they take."""
