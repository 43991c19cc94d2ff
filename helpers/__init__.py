"""What the notebooks import: one room a subject, each small enough to read in one sitting.

The way of one picture: catalog (facts) -> samples (drawn) -> datasets (a PNG becomes a tensor) ->
loaders (tensors become batches) -> training (batches become a model) -> report (a submission CSV).
"""
