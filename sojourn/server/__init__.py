"""HTTP: tracking calls in, answers about customers out."""
