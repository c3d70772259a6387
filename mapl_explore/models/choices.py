"""The values that some arguments can take, for those who name them before torch is loaded."""

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bf16")
TRUNCATE = ("keep-start", "error")
