"""Backends: prompt and sampling in, a stream of chunks out. One file or folder each."""
