from .access import create_key as create_key
from .access import rotate_key as rotate_key
from .process import serve as serve

__all__ = ["create_key", "rotate_key", "serve"]
