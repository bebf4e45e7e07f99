"""Peers' own code and ours on one scripted upstream; see `benchmarks.peers.__main__`."""
