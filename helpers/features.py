"""The features of every picture, computed once and kept in a memory-mapped file."""

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.datasets import DatasetFolder
from tqdm.auto import tqdm

from helpers.blocks import BLOCK, BlockFile, rows_of
from helpers.cache import Pictures
from helpers.files import CannotWrite, file_marks
from helpers.loaders import cpu_cores
from helpers.precision import CLOSE, fastest_precision, forward, quickest
from helpers.weights import weights_mark


class FeatureCache:
    """What a frozen network makes of every picture of a data set.

    The file's name is a fingerprint of the network with its weights, the transform, and the
    picture files with their sizes and times: what was computed for others is never served. Beside
    it lies a journal with a checksum for each block of pictures. An interrupted run goes on after
    the last good block, and a block that was damaged is computed again.

    Parameters
    ----------
    dataset : DatasetFolder
        torchvision's ImageFolder, for example, with a transform that is not random.
    network : nn.Module
        Put into evaluation mode; computes where its weights are. Pictures (B, channels, height,
        width) to anything (B, ...).
    folder : Path
        Where the file goes. Where it cannot be written, the features are kept in memory.
    dtype : torch.dtype
        float16, or float32 for twice the space.

    Attributes
    ----------
    file : Path
        The memory-mapped file, after `load`.
    computed : int
        How many pictures the last `load` had to compute.
    precision : torch.dtype
        What the last `load` computed in.
    """

    def __init__(
        self,
        dataset: DatasetFolder,
        network: nn.Module,
        folder: Path,
        dtype: torch.dtype = torch.float16,
    ) -> None:
        self.dataset = dataset
        self.network = network
        self.folder = Path(folder)
        self.dtype = dtype
        self.file = self.folder
        self.computed = 0
        self.precision = torch.float32
        self.choice: torch.dtype | None = None  # decided for several processes, see parallel

    def load(self) -> Pictures:
        """Return the features of all pictures; compute those that are not in the file yet.

        Returns
        -------
        Pictures
            images (N, ...) in the dtype of the cache, memory-mapped; labels (N,).

        Raises
        ------
        ValueError
            If there is no picture, one cannot be read, or a feature is too large for float16.
        KeyboardInterrupt
            When it is stopped; the next call goes on from there.
        """
        self.computed = 0
        store = self.store()
        try:
            values = self._filled(store)
        except CannotWrite as error:
            values = self._mapped(store)
            if values is None:
                print(f"{error} The features are kept in memory instead.")
                values = self._in_memory()
        labels = torch.tensor([label for _, label in self.dataset.samples])
        return Pictures(torch.from_numpy(values), labels)

    def store(self) -> BlockFile:
        """Return the file for this network, transform and these pictures."""
        if not self.dataset.samples:
            raise ValueError("The data set has no picture, so there is nothing to compute.")
        self.network.eval().to(memory_format=torch.channels_last)
        self.file = self.folder / f"features-{self._fingerprint()}.bin"
        dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        return BlockFile(self.file, len(self.dataset.samples), dtype)

    def _filled(self, store: BlockFile) -> np.ndarray:
        """Compute what the file lacks, and map it."""
        with store.alone():
            shape, missing = self.lacking(store)
            return store.map(store.write(self.compute(missing), shape))

    def lacking(self, store: BlockFile) -> tuple[tuple[int, ...] | None, list[int]]:
        """Return the shape of a row, None where the file is of no use, and the missing blocks."""
        shape, good = store.good()
        if not good or not self._agrees(store.row(min(good) * BLOCK, shape), min(good) * BLOCK):
            shape, good = None, set()
        return shape, [block for block in store.blocks if block not in good]

    def _mapped(self, store: BlockFile) -> np.ndarray | None:
        """Return the features of a finished file, also in a folder that cannot be written to."""
        with contextlib.suppress(OSError):
            shape, good = store.good()
            if len(good) == len(store.blocks) and self._agrees(store.row(0, shape), 0):
                return store.map(shape)
        return None

    def _in_memory(self) -> np.ndarray:
        self.computed = 0
        blocks = range(-(-len(self.dataset.samples) // BLOCK))
        return np.concatenate([values for _, values in self.compute(list(blocks))])

    def _agrees(self, stored: np.ndarray, row: int) -> bool:
        """Return whether the network still makes of a picture what the file says.

        The fingerprint sees weights and layers, but not the code of a `forward`.
        """
        with torch.no_grad():
            picture = self.dataset[row][0].unsqueeze(0).to(self._device)
            now = forward(self.network, picture, torch.float32)[0].cpu()
        stored = torch.from_numpy(stored).float()
        return now.shape == stored.shape and bool((now - stored).norm() <= 2 * CLOSE * now.norm())

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    @torch.no_grad()
    def compute(self, blocks: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the features of each block, while the next one is decoded."""
        if not blocks:
            return
        with (
            ThreadPoolExecutor(cpu_cores()) as threads,
            tqdm(total=len(blocks), desc="Computing features once") as bar,
        ):
            coming = self._submit(threads, blocks[0])
            for block, following in zip(blocks, [*blocks[1:], None], strict=True):
                pictures = torch.stack([item.result()[0] for item in coming])
                coming = [] if following is None else self._submit(threads, following)
                pictures = pictures.to(self._device, memory_format=torch.channels_last)
                if block == blocks[0]:
                    self.precision = self.choice or fastest_precision(self.network, pictures)
                    network = quickest(self.network, self._device, self.precision)
                features = forward(network, pictures, self.precision)
                self.computed += len(features)
                yield block, self._stored(features)
                bar.update()

    def _submit(self, threads: ThreadPoolExecutor, block: int) -> list[Future]:
        rows = rows_of(block, len(self.dataset.samples))
        return [threads.submit(self.dataset.__getitem__, row) for row in rows]

    def _stored(self, features: Tensor) -> np.ndarray:
        """Return features in the dtype of the file."""
        if features.isnan().any():
            raise ValueError("The network makes NaN of a picture. Are its weights those you mean?")
        stored = features.to(self.dtype)
        if stored.isinf().any():
            raise ValueError(
                f"A feature is too large for {self.dtype}: {features.abs().max():.3g}. "
                "Use FeatureCache(…, dtype=torch.float32)."
            )
        return stored.cpu().contiguous().numpy()

    def _fingerprint(self) -> str:
        """Return a name that changes with the network, the transform and the picture files."""
        samples = self.dataset.samples
        network = f"{self.network} {weights_mark(self.network)}"
        digest = hashlib.sha256(f"{network} {self.dtype} {len(samples)}".encode())
        for path, label in samples:
            digest.update(f"{path} {label} {file_marks(path)}\n".encode(errors="surrogateescape"))
        # What the transform and the loader do shows in what they make of a few pictures.
        for row in {0, len(samples) // 2, len(samples) - 1}:
            digest.update(self.dataset[row][0].contiguous().numpy())
        return digest.hexdigest()[:16]
