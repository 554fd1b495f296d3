from .audiences import Audiences as Audiences
from .audiences import compile_audiences as compile_audiences
from .audiences import trait_values as trait_values
from .changes import CHANGE_KINDS as CHANGE_KINDS
from .changes import Change as Change
from .outbox import Mark as Mark
from .outbox import OutboxItem as OutboxItem
from .outbox import OutboxRow as OutboxRow

__all__ = [
    "CHANGE_KINDS",
    "Audiences",
    "Change",
    "Mark",
    "OutboxItem",
    "OutboxRow",
    "compile_audiences",
    "trait_values",
]
