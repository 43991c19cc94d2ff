"""Step 17's own cells, one split after the other: the notebook draws what this writes.

python -m tests.benchmarks.solar: an hour and a half on one core, a minute on a GPU
"""

from helpers.batches import stratified_split

from . import timed
from .histories import lesson, write


def measured(step, tuning):
    """Yield the rows; on the paper's splits, by chance, two networks are also asked together."""
    for seed in range(10):
        splits = {"by chance": stratified_split(step["kinds"], 0.25, seed)}
        splits["by module"] = step["by_module"](step["modules"], seed)
        for split, parts in splits.items():
            percent, seconds = timed(step["frozen"], *parts)
            yield "frozen", split, seed, percent / 100, seconds
    for seed in range(3):
        step["train"], step["test"] = stratified_split(step["kinds"], 0.25, seed)
        chances, seconds = 0, 0
        for way, other in (("fine-tuned", 0), ("two fine-tuned", 10)):
            step["seed"] = seed + other
            seconds += timed(exec, tuning, step)[1]
            chances = chances + step["ask"](step["tuned"]).softmax(dim=1)  # (N, 2)
            right = chances.argmax(dim=1) == step["labels"][step["test"]]
            yield way, "by chance", seed, right.float().mean().item(), seconds


if __name__ == "__main__":
    step, tuning = lesson("17", "def ask(", "tuned = nn.Sequential(early,")
    write("solar", step["source"], "way,split,seed,accuracy,seconds", measured(step, tuning))
