"""What each kernel that `lab` starts runs first; it leaves no name behind."""

try:
    from helpers.missing import watch
except ImportError:  # a Python without the workshop, in a terminal of JupyterLab
    pass
else:
    watch()
    del watch
