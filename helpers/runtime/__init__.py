"""What every package stands on.

- `arrays`: the types of the arrays that functions take and return;
- `devices`: which device to compute on;
- `errors`: how to refuse a value: what was given and what was meant;
- `markup`: HTML that a page shows, with the words that stand for it;
- `memory`: a batch too large for the device goes through in parts;
- `parallel`: one measurement by several processes;
- `paths`: where the book's data and sources lie;
- `precision`: how exact a device computes;
- `yaml_files`: YAML from strangers, read without surprise.
"""

__all__ = [
    "arrays",
    "devices",
    "errors",
    "markup",
    "memory",
    "parallel",
    "paths",
    "precision",
    "yaml_files",
]
