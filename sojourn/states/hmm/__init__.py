"""The state model's inference. ``fit`` is the textbook categorical HMM; the whole model is in ``model``."""

from __future__ import annotations

from sojourn.states.hmm.textbook import Textbook, fit

__all__ = ["Textbook", "fit"]
