"""Where the fold runs: on a file at once, or live on a stream of tracking calls."""
