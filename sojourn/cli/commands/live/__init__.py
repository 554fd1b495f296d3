"""Commands of the live side: a file per command."""

__all__: list[str] = []
