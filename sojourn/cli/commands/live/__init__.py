"""Commands of the live side: a file per command."""
