"""Two rejection samplings: pairs drawn by their margin, and sets made of responses that a verifier judged."""
