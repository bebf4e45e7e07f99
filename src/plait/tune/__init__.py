"""Which settings? A search over policies, its confirmation, and experiments of two policies."""
