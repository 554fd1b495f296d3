"""Sojourn: which behavioural state each customer is in, since when, why, and what moves them on."""

__version__ = "0.1.0"
