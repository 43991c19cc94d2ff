"""The features of every picture, computed once and kept in a memory-mapped file."""

import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn
from torchvision.datasets import DatasetFolder
from tqdm.auto import tqdm

from helpers.cache import Pictures
from helpers.files import NOT_WRITABLE, CannotWrite, explained
from helpers.loaders import cpu_cores
from helpers.training import mixed_precision

BLOCK = 32  # pictures that are computed, written and checked together
CLOSE = 0.03  # features in bfloat16 may differ by this much from float32, relatively


class FeatureCache:
    """What a frozen network makes of every picture of a data set.

    The file's name is a fingerprint of the network with its weights, the transform, and the
    picture files with their sizes and times: what was computed for others is never served. Beside
    it lies a journal with a checksum for each block of pictures. An interrupted run goes on after
    the last good block, and a block that was damaged is computed again.

    Parameters
    ----------
    dataset : DatasetFolder
        torchvision's ImageFolder, for example, with a transform.
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
        The memory-mapped file.
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
        self.network = network.eval()
        self.dtype = dtype
        self.file = Path(folder) / f"features-{self._fingerprint()}.bin"
        self.computed = 0
        self.precision = torch.float32

    def load(self) -> Pictures:
        """Return the features of all pictures; compute those that are not in the file yet.

        Returns
        -------
        Pictures
            images (N, ...) in the dtype of the cache, memory-mapped; labels (N,).

        Raises
        ------
        ValueError
            If a picture cannot be read, or a feature is too large for float16.
        KeyboardInterrupt
            When it is stopped; the next call goes on from there.
        """
        self.computed = 0
        labels = torch.tensor([label for _, label in self.dataset.samples])
        try:
            shape = self._fill()
            # mode "c": a write would stay in memory and never reach the file
            values = np.memmap(self.file, self._numpy, mode="c", shape=(len(labels), *shape))
        except CannotWrite as error:
            print(f"{error} The features are kept in memory instead.")
            self.computed = 0
            blocks = [values for _, values in self._compute(range(self._blocks))]
            values = np.concatenate(blocks)
        return Pictures(torch.from_numpy(values), labels)

    @property
    def _numpy(self) -> np.dtype:
        return np.dtype(str(self.dtype).removeprefix("torch."))

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    @property
    def _blocks(self) -> int:
        return -(-len(self.dataset.samples) // BLOCK)

    @property
    def _journal(self) -> Path:
        return self.file.with_suffix(".journal")

    def _fill(self) -> tuple[int, ...]:
        """Compute what the file lacks; return the shape of one picture's features."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.file.with_suffix(".lock")):  # two kernels: one computes, one waits
                shape, good = self._good_blocks()
                missing = [block for block in range(self._blocks) if block not in good]
                if missing:
                    shape = self._write(missing, shape)
        except OSError as error:
            if error.errno not in NOT_WRITABLE or isinstance(error, CannotWrite):
                raise
            raise explained(error, self.file) from error
        return shape

    def _good_blocks(self) -> tuple[tuple[int, ...], set[int]]:
        """Return the shape in the journal, and the blocks whose checksums still hold."""
        if not self._journal.is_file() or not self.file.is_file():
            return (), set()
        try:
            first, *lines = self._journal.read_text(encoding="ascii").splitlines()
            shape = tuple(json.loads(first)["shape"])
            sums = dict(map(int, line.split()) for line in lines if line.endswith(" "))
        except (ValueError, KeyError, TypeError):
            print("The journal of the feature cache is damaged, so everything is computed again.")
            return (), set()
        good = set()
        with self.file.open("rb") as file:
            for block, checksum in sums.items():
                file.seek(block * BLOCK * self._row_bytes(shape))
                if zlib.crc32(file.read(BLOCK * self._row_bytes(shape))) == checksum:
                    good.add(block)
        if len(good) < len(sums):
            damaged = len(sums) - len(good)
            print(f"The feature cache is damaged: {damaged} of {len(sums)} blocks do not fit.")
            print("They are computed again.")
        return (shape, good) if 0 not in good or self._agrees(shape) else ((), set())

    def _agrees(self, shape: tuple[int, ...]) -> bool:
        """Return whether the network still makes of the first picture what the file says.

        The fingerprint sees weights and layers, but not the code of a `forward`.
        """
        stored = np.fromfile(self.file, self._numpy, count=int(np.prod(shape))).reshape(shape)
        with torch.inference_mode():
            picture = self.dataset[0][0].unsqueeze(0).to(self._device)
            now = _forward(self.network, picture, torch.float32)[0].cpu()
        stored = torch.from_numpy(stored).float()
        return now.shape == stored.shape and bool((now - stored).norm() <= 2 * CLOSE * now.norm())

    def _row_bytes(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * self._numpy.itemsize

    def _write(self, blocks: list[int], shape: tuple[int, ...]) -> tuple[int, ...]:
        """Compute some blocks and write each to its place, then its checksum to the journal."""
        # Written, not stored through the map: a full disk is then an error and not a crash.
        with contextlib.ExitStack() as stack:
            file = journal = None
            for block, values in self._compute(blocks):
                if file is None:
                    is_new = not shape
                    shape = values.shape[1:]
                    file = stack.enter_context(self.file.open("wb" if is_new else "r+b"))
                    mode = "w" if is_new else "a"
                    journal = stack.enter_context(self._journal.open(mode, encoding="ascii"))
                    # a line break first: the last run may have ended in the middle of a line
                    journal.write(json.dumps({"shape": shape}) + "\n" if is_new else "\n")
                content = values.tobytes()
                file.seek(block * BLOCK * self._row_bytes(shape))
                file.write(content)
                file.flush()
                journal.write(f"{block} {zlib.crc32(content)} \n")
                journal.flush()
        return shape

    @torch.inference_mode()
    def _compute(self, blocks: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the features of each block, while the next one is decoded."""
        network = self.network.to(memory_format=torch.channels_last)
        with (
            ThreadPoolExecutor(cpu_cores()) as threads,
            tqdm(total=len(blocks), desc="Computing features once") as bar,
        ):
            rows = self._rows(blocks[0])
            coming = [threads.submit(self.dataset.__getitem__, row) for row in rows]
            for at, block in enumerate(blocks):
                pictures = torch.stack([item.result()[0] for item in coming])
                if at + 1 < len(blocks):
                    rows = self._rows(blocks[at + 1])
                    coming = [threads.submit(self.dataset.__getitem__, row) for row in rows]
                pictures = pictures.to(self._device, memory_format=torch.channels_last)
                if at == 0:
                    self.precision = fastest_precision(network, pictures[:8])
                features = _forward(network, pictures, self.precision)
                self.computed += len(features)
                yield block, self._stored(features)
                bar.update()

    def _rows(self, block: int) -> range:
        return range(block * BLOCK, min((block + 1) * BLOCK, len(self.dataset.samples)))

    def _stored(self, features: Tensor) -> np.ndarray:
        """Return features in the dtype of the file."""
        stored = features.to(self.dtype)
        if not stored.isfinite().all():
            raise ValueError(
                f"A feature is not finite in {self.dtype}; the largest here is "
                f"{features.abs().max():.3g}. Use FeatureCache(…, dtype=torch.float32)."
            )
        return stored.cpu().contiguous().numpy()

    def _fingerprint(self) -> str:
        """Return a name that changes with the network, the transform and the picture files."""
        words = f"{self.network} {self.dataset.transform} {self.dtype}"
        digest = hashlib.sha256(words.encode())
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        for path, label in self.dataset.samples:
            status = Path(path).stat()
            # st_ctime_ns changes on Linux and macOS even where a copy keeps the old time
            marks = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest.update(f"{path} {label} {marks}\n".encode())
        return digest.hexdigest()[:16]


def fastest_precision(network: nn.Module, pictures: Tensor) -> torch.dtype:
    """Return bfloat16 if this device computes with it and the answers stay the same.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    pictures : Tensor
        (B, channels, height, width) to try it on.

    Returns
    -------
    torch.dtype
        bfloat16 where what comes out differs by at most 3 % (root mean square) from float32.
    """
    if mixed_precision(pictures.device, on_cpu=True) is None:
        return torch.float32
    exact = _forward(network, pictures, torch.float32)
    quick = _forward(network, pictures, torch.bfloat16)
    difference = (quick - exact).norm() / exact.norm()
    return torch.bfloat16 if difference <= CLOSE else torch.float32


def _forward(network: nn.Module, pictures: Tensor, precision: torch.dtype) -> Tensor:
    """Return what the network makes of the pictures, as float32."""
    is_mixed = precision != torch.float32
    with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=is_mixed):
        return network(pictures).float()
