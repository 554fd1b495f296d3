"""Where changes go: which of them, signed, sent until they have arrived or are given up."""
