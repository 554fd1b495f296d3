from .action import read_activations as read_activations
from .action import read_audiences as read_audiences
from .action import read_consent as read_consent
from .action import read_segments as read_segments
from .action import read_stability as read_stability
from .action import read_targets as read_targets
from .events import read_events as read_events
from .events import read_source as read_source
from .moments import read_moments as read_moments
from .states import read_features as read_features
from .states import read_fingerprint as read_fingerprint
from .states import read_model as read_model
from .states import read_outcomes as read_outcomes
from .states import read_states as read_states

__all__ = [
    "read_activations",
    "read_audiences",
    "read_consent",
    "read_events",
    "read_features",
    "read_fingerprint",
    "read_model",
    "read_moments",
    "read_outcomes",
    "read_segments",
    "read_source",
    "read_stability",
    "read_states",
    "read_targets",
]
