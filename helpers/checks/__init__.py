"""One check for each exercise: it tries an answer on small inputs, and names typical mistakes."""

# ruff: noqa: F401 (the names are for the notebooks: checks.lenet, …)
from helpers.checks.feedback import EXERCISES
from helpers.checks.layers import block, corr2d, flatten_size, lenet, new_head, parameter_groups
from helpers.checks.learning import average_over_ranks, cross_entropy, train_epoch
from helpers.checks.pictures import collate, dataset, normalise_batch, to_picture
from helpers.checks.reference import source
from helpers.checks.results import (
    answer_or_pass,
    by_module,
    compute_features,
    count_pairs,
    find_limit,
    folds,
    summarise,
    sure_loss,
    suspects,
    write_submission,
)


def solution(name: str) -> None:
    """Print how the complete notebook does the exercise that defines `name`, such as "LeNet"."""
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}. There are: {', '.join(EXERCISES)}.")
    print(source(EXERCISES[name].step, name))
