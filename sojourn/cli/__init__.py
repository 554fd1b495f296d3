"""The command line: options in, a call, a print."""

__all__: list[str] = []
