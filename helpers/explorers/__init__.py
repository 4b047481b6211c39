"""Explorers: ask a measure of the book anything, in a live kernel.

`similarity` compares the layers of any two models, `patches` answers a click
on a patch with its attention and its localisation map, `neighbours` shows
which images a layer finds alike, `finetuning` plays a training and stops it
at any step. Each is a view on a measure of the book and
shows its numbers (`shown`), no others.

Not for findings: what is clicked through is not judged, and the more choices
one has looked at, the more surely one of them looks remarkable. Pages state
their claims beforehand and judge them with intervals.
"""

from helpers.explorers.finetuning import finetuning
from helpers.explorers.neighbours import neighbours
from helpers.explorers.patches import patches
from helpers.explorers.similarity import similarity

__all__ = ["finetuning", "neighbours", "patches", "similarity"]
