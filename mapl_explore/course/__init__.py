"""What the notebooks need: questions and their checks, the errata, and formulas as they are naively written."""
