"""How long tests wait, in seconds: for what comes, on however busy a machine; only what hangs is waited for in vain."""

HANG = 600
