"""Procedural fabrics: how much of the second colour, at each place.

Each fabric is a function of the coordinates (u, v), in periods of the
pattern, and of nothing else, so that any resolution, turn and phase can be
had. Edges are a little soft: the scenes are small, and hard edges alias.
"""

from collections.abc import Callable

from torch import Tensor

Fabric = Callable[[Tensor, Tensor], Tensor]


def _wrap(u: Tensor) -> Tensor:
    """Fold to [-0.5, 0.5): the offset from the nearest whole number."""
    return u - (u + 0.5).floor()


def _fold(u: Tensor) -> Tensor:
    """Triangle wave of period 1: 0 at whole numbers, 1 half-way."""
    return 2 * _wrap(u).abs()


def _wave(u: Tensor) -> Tensor:
    """Smooth wave of period 1 in [-1, 1], from two parabolas."""
    w = 2 * _wrap(u)
    return 4 * w * (1 - w.abs())


def _step(x: Tensor, slope: float = 5.0) -> Tensor:
    """Soft threshold at 0."""
    return (slope * x + 0.5).clamp(0, 1)


def plain(u: Tensor, v: Tensor) -> Tensor:
    """One colour."""
    return u * 0


def stripes(u: Tensor, v: Tensor) -> Tensor:
    """Parallel bands, as wide as the gaps."""
    return _step(_fold(u) - 0.5)


def checks(u: Tensor, v: Tensor) -> Tensor:
    """A chessboard."""
    a, b = (_step(_fold(w) - 0.5, 6) for w in (0.6 * u, 0.6 * v))
    return a + b - 2 * a * b


def dots(u: Tensor, v: Tensor) -> Tensor:
    """Discs on a square lattice."""
    x, y = _wrap(u), _wrap(v)
    return _step(0.09 - (x * x + y * y), 12)


def zigzag(u: Tensor, v: Tensor) -> Tensor:
    """Chevrons."""
    return _step(_fold(v + 0.7 * _fold(0.55 * u)) - 0.5)


def rings(u: Tensor, v: Tensor) -> Tensor:
    """Concentric rings."""
    return _step(_fold((u * u + v * v).sqrt()) - 0.5)


def gradient(u: Tensor, v: Tensor) -> Tensor:
    """From one colour to the other, once."""
    return (0.5 + 0.32 * u).clamp(0, 1)


def plaid(u: Tensor, v: Tensor) -> Tensor:
    """Crossing translucent bands, with a thin line between."""
    a, b = (_step(_fold(0.7 * w) - 0.5) for w in (u, v))
    return (a + b) / 2


def bricks(u: Tensor, v: Tensor) -> Tensor:
    """Courses of bricks with thin joints."""
    row = (1.2 * v).floor()
    across = _fold(0.6 * u + 0.5 * (row - 2 * (row / 2).floor()))
    return _step(0.22 - (_fold(1.2 * v).minimum(across * 1.9)), 5)


def camouflage(u: Tensor, v: Tensor) -> Tensor:
    """Blobs."""
    a = _wave(0.43 * u + 0.28 * _wave(0.37 * v + 0.2))
    b = _wave(0.47 * v + 0.31 * _wave(0.29 * u + 0.7))
    return _step(a + b + 0.5 * _wave(0.9 * (u + v)) * a, 2)


def crosses(u: Tensor, v: Tensor) -> Tensor:
    """Plus signs on a square lattice."""
    x, y = _wrap(u * 0.9).abs(), _wrap(v * 0.9).abs()
    return _step(0.13 - x.minimum(y), 8) * _step(0.38 - x.maximum(y), 8)


def triangles(u: Tensor, v: Tensor) -> Tensor:
    """Rows of triangles."""
    rise = _wrap(0.8 * v) + 0.5
    return _step(rise - _fold(0.8 * u))


def scales(u: Tensor, v: Tensor) -> Tensor:
    """Fish scales: arcs in staggered rows."""
    row = (1.4 * v).floor()
    x = _wrap(0.8 * u + 0.5 * (row - 2 * (row / 2).floor()))
    y = 1.4 * v - row
    return _step(((2 * x) ** 2 + (0.9 * y) ** 2).sqrt() - 0.75, 4)


def diamonds(u: Tensor, v: Tensor) -> Tensor:
    """Harlequin lozenges."""
    return _step(_fold(0.5 * u) + _fold(0.35 * v) - 1, 4)


def sprinkles(u: Tensor, v: Tensor) -> Tensor:
    """Short dashes in two directions."""
    row, column = v.floor(), u.floor()
    odd = (row + column) - 2 * ((row + column) / 2).floor()
    x, y = _wrap(u + 0.5).abs(), _wrap(v + 0.5).abs()
    long, short = odd * x + (1 - odd) * y, odd * y + (1 - odd) * x
    return _step(0.14 - short, 8) * _step(0.4 - long, 8)


SEEN: dict[str, Fabric] = {
    f.__name__: f
    for f in (
        plain,
        stripes,
        checks,
        dots,
        zigzag,
        rings,
        gradient,
        plaid,
        bricks,
        camouflage,
    )
}
UNSEEN: dict[str, Fabric] = {
    f.__name__: f for f in (crosses, triangles, scales, diamonds, sprinkles)
}
