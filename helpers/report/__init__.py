"""The parts of the report `your_model`.

- `among_others`: where a model stands among others;
- `parts`: the measures of the book on one model, each a part;
- `probed`: what can be read from a model, by layer and by module;
- `shifted`: how far shifted images lie, and what probes keep there.

And of the first page: `tour`, findings of a run with their charts.
"""

__all__ = ["among_others", "parts", "probed", "shifted", "tour"]
