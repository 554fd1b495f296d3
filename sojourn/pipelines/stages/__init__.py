"""The stages of a run, in the order in which they run: samples, states, transitions; and what a run says of itself."""
