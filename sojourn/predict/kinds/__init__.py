"""Kinds of models to predict with, a file each: ``NAME``, and ``CANDIDATE``, which says how it is fitted."""
