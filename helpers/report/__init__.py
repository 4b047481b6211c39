"""The parts of the report `your_model`.

- `among_others`: where a model stands among others;
- `beside_published`: a run's numbers beside published ones;
- `curves`: what of a report others can add to the published results;
- `measurable`: which measures each architecture of timm has;
- `parts`: the measures of the book on one model, each a part;
- `probed`: what can be read from a model, by layer and by module;
- `shifted`: how far shifted images lie, and what probes keep there.

And of the first page: `tour`, findings of a run with their charts.
"""

__all__ = [
    "among_others",
    "beside_published",
    "curves",
    "measurable",
    "parts",
    "probed",
    "shifted",
    "tour",
]
