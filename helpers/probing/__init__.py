"""Classifiers on frozen features, with torch alone: kNN, ridge, logistic."""
