"""Thin helpers of the book Inside Vision Transformers."""

__version__ = "0.1.0"
