"""What the explorers draw: pictures described as panels, drawn by matplotlib here and in the browser by explorers."""
