"""The live engine: tracking calls in, a durable log, the state of every customer and a change feed out."""
