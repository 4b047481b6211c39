"""The chart forms of the book: a tidy table and a description, one chart.

- `setup`: make the book's theme the default, once a page;
- `lines`: a number along an axis, with its interval as a band;
- `scatter`: one measure against another, both chosen by the reader;
- `bars`: a number for each name;
- `heatmap`: a number for each pair;
- `linked_map`: a map, and the images behind the cell chosen;
- `frames`: maps as pictures, and a slider that leads through them;
- `overlays`: maps over pictures;
- `token_maps`: a token to point at, and its map over the image;
- `pictures`: rows of small images;
- `verdicts`: a table of claims and their verdicts.
"""

from helpers.charts.bars import bars
from helpers.charts.frames import frames
from helpers.charts.heatmap import heatmap
from helpers.charts.lines import lines
from helpers.charts.linked_map import linked_map
from helpers.charts.overlays import overlays
from helpers.charts.pictures import pictures
from helpers.charts.rendering import setup
from helpers.charts.scatter import scatter
from helpers.charts.token_maps import token_maps
from helpers.claims.verdict_table import verdicts

__all__ = [
    "bars",
    "frames",
    "heatmap",
    "lines",
    "linked_map",
    "overlays",
    "pictures",
    "scatter",
    "setup",
    "token_maps",
    "verdicts",
]
