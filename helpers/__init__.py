"""What the notebooks import: one room a subject, each small enough to read in one sitting.

The way of one picture: data (a PNG becomes a tensor, decoded once) -> batches (tensors become
batches) -> models (batches become logits) -> training (the model learns) -> report (its answers
become a submission CSV); catalog knows the folders.
"""
