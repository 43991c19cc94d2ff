"""How the shipped samples were drawn: for authors. `python -m draw` writes data/samples again."""
