"""Causal language models: loading and checking them, log-probabilities of texts, and texts drawn from them."""
