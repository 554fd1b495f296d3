from .open import open_live as open_live
from .settings import Settings as Settings
from .settings import load_settings as load_settings

__all__ = ["Settings", "load_settings", "open_live"]
