"""What the notebooks import: one room a subject, each small enough to read in one sitting.

The way of one picture: images (a PNG becomes a tensor) -> data (once for all) -> batches (tensors
become batches) -> models (batches become logits) -> report (logits become answers).
"""
