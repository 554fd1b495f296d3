from .channels import find_channels as find_channels
from .outcomes import find_journeys as find_journeys
from .paths import choose_silence as choose_silence
from .paths import find_paths as find_paths
from .patterns import Limits as Limits
from .patterns import mine_patterns as mine_patterns

__all__ = ["Limits", "choose_silence", "find_channels", "find_journeys", "find_paths", "mine_patterns"]
