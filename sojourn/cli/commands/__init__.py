"""Commands: a file each, found by this folder (:mod:`sojourn.cli.folder`)."""

__all__: list[str] = []
