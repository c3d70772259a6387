"""The course in JupyterLab and the explorers as pages, each from a server on this machine."""
