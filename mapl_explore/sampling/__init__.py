"""Two rejection samplings: pairs drawn by their margin, and sets made of answers that a verifier judged."""
