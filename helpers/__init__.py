"""What the notebooks import: one room a subject, each small enough to read in one sitting.

The way of one picture: datasets (a PNG becomes a tensor) -> cache (decoded once) -> loaders
(tensors become batches) -> models (batches become logits) -> training (the model learns) -> report
(its answers become a submission CSV).
"""
