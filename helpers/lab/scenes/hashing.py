"""Random numbers that are a function of their address, not of a history.

A generator hands out numbers in order, so the number of one scene depends on
which were made before it. Here every number is the hash of (key, position):
any scene can be made alone, in any batch, on any device, with the same
integers. Not for cryptography, nor where more than 2^32 keys must differ.
"""

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_STEP = 0x9E3779B9


def mix(x: Tensor) -> Tensor:
    """Scramble 32-bit words, one to one.

    The constants are those of "hash-prospector" (C. Wellons, 2018); both are
    below 2^31, so that no product leaves int64 on any device.

    Args:
        x: int64 tensor of values in [0, 2^32).

    Returns:
        int64 tensor of the same shape and range.
    """
    x = (x ^ (x >> 16)) * 0x21F0AAAD & _WORD
    x = (x ^ (x >> 15)) * 0x735A2D97 & _WORD
    return x ^ (x >> 15)


def keys(index: Tensor, *names: int) -> Tensor:
    """Make one key for each index: (n,) int64 to (n,) words.

    For the same names, indexes below 2^32 have different keys.

    Args:
        index: (n,) int64, at least 0.
        names: integers below 2^63 (a split, a seed) that set apart the
            families of keys.
    """
    state = torch.zeros((), dtype=torch.int64, device=index.device)
    for name in names:
        for word in (name & _WORD, name >> 32 & _WORD):
            state = mix((state + _STEP & _WORD) ^ word)
    return mix(mix(index >> 32 & _WORD ^ state) ^ index & _WORD)


def words(key: Tensor, count: int, salt: int) -> Tensor:
    """Draw: keys (n,) to (n, count) words, for each salt other ones."""
    place = torch.arange(count, dtype=torch.int64, device=key.device)
    place = mix((place + salt * _STEP) & _WORD)
    return mix((key[:, None] + place) & _WORD)


def uniform(word: Tensor) -> Tensor:
    """Turn words into float32 in [0, 1), exactly and evenly spaced."""
    return (word >> 8).float() * 2.0**-24


def below(word: Tensor, bound: int) -> Tensor:
    """Turn words into int64 in [0, bound)."""
    return word * bound >> 32


def normal(word: Tensor) -> Tensor:
    """Turn words (..., k) into standard normal float32 (..., 2 k).

    Box-Muller, from the two halves of each word.
    """
    first = ((word >> 16).float() + 0.5) * 2.0**-16
    second = (word & 0xFFFF).float() * (2.0**-16 * 2 * torch.pi)
    radius = (-2 * first.log()).sqrt()
    return torch.cat((radius * second.cos(), radius * second.sin()), -1)
