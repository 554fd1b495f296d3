"""Commands: a file each, found by this folder (`sojourn.cli.folder`)."""
