"""The features of every picture, computed once and kept in a memory-mapped file."""

import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torchvision.datasets import DatasetFolder
from tqdm.auto import tqdm

from helpers.cache import Pictures
from helpers.files import DISK_FULL, CannotWrite, explained, file_marks
from helpers.loaders import cpu_cores
from helpers.training import mixed_precision
from helpers.weights import weights_mark

BLOCK = 32  # pictures that are computed, written and checked together
TRIED = 4  # pictures to choose the precision by
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
        if not self.dataset.samples:
            raise ValueError("The data set has no picture, so there is nothing to compute.")
        self.computed = 0
        self.network.eval().to(memory_format=torch.channels_last)
        fingerprint = self._fingerprint()
        try:
            values = self._filled(fingerprint)
        except CannotWrite as error:
            values = self._complete()
            if values is None:
                print(f"{error} The features are kept in memory instead.")
                values = self._in_memory()
        labels = torch.tensor([label for _, label in self.dataset.samples])
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

    def _filled(self, fingerprint: str) -> np.ndarray:
        """Compute what the file lacks, and map it."""
        try:
            self._choose(fingerprint, 0)
            with self._alone():
                shape, good = self._usable(fingerprint)
                missing = [block for block in range(self._blocks) if block not in good]
                if missing:
                    shape = self._write(missing, shape)
                return self._map(shape)
        except OSError as error:
            if error.errno in DISK_FULL:  # what is there would only keep the disk full
                self._drop()
            raise explained(error, self.file) from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one kernel compute while others wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.file.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            print("Another kernel is computing the same features. Waiting for it …")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _choose(self, fingerprint: str, generation: int) -> None:
        suffix = f"-{generation}" if generation else ""
        self.file = self.folder / f"features-{fingerprint}{suffix}.bin"

    def _drop(self) -> None:
        for file in (self._journal, self.file):
            with contextlib.suppress(OSError):  # Windows keeps a file that is mapped somewhere
                file.unlink(missing_ok=True)

    def _usable(self, fingerprint: str) -> tuple[tuple[int, ...] | None, set[int]]:
        """Choose the file to use; return its shape and its good blocks, None where it is new.

        A file that holds something else is never shortened, because another kernel may have it
        mapped: it is removed, or where that cannot be, left alone.
        """
        for generation in count():
            self._choose(fingerprint, generation)
            shape, good = self._good_blocks()
            if good and self._agrees(shape, min(good)):
                return shape, good
            self._drop()
            if not self.file.exists():
                return None, set()

    def _good_blocks(self) -> tuple[tuple[int, ...], set[int]]:
        """Return the shape in the journal, and the blocks whose checksums still hold."""
        try:
            first, *lines = self._journal.read_text(encoding="ascii").splitlines()
            shape = tuple(json.loads(first)["shape"])
            sums = dict(map(int, line.split()) for line in lines if line.endswith(" "))
            good, size = set(), self._row_bytes(shape)
            with self.file.open("rb") as file:
                for block, checksum in sums.items():
                    file.seek(block * BLOCK * size)
                    if zlib.crc32(file.read(len(self._rows(block)) * size)) == checksum:
                        good.add(block)
        except FileNotFoundError:
            return (), set()
        except (ValueError, KeyError, TypeError):
            print("The journal of the feature cache is damaged, so everything is computed again.")
            return (), set()
        if len(good) < len(sums):
            damaged = len(sums) - len(good)
            print(f"The feature cache is damaged: {damaged} of {len(sums)} blocks do not fit.")
            print("They are computed again.")
        return shape, good

    def _agrees(self, shape: tuple[int, ...], block: int) -> bool:
        """Return whether the network still makes of a picture what the file says.

        The fingerprint sees weights and layers, but not the code of a `forward`.
        """
        row = self._rows(block)[0]
        with self.file.open("rb") as file:
            file.seek(row * self._row_bytes(shape))
            stored = np.frombuffer(file.read(self._row_bytes(shape)), self._numpy).reshape(shape)
        with torch.no_grad():
            picture = self.dataset[row][0].unsqueeze(0).to(self._device)
            now = _forward(self.network, picture, torch.float32)[0].cpu()
        stored = torch.tensor(stored).float()
        return now.shape == stored.shape and bool((now - stored).norm() <= 2 * CLOSE * now.norm())

    def _map(self, shape: tuple[int, ...]) -> np.ndarray:
        # mode "c": a write would stay in memory and never reach the file
        whole = (len(self.dataset.samples), *shape)
        return np.memmap(self.file, self._numpy, mode="c", shape=whole)

    def _complete(self) -> np.ndarray | None:
        """Return the features of a finished file in a folder that cannot be written to."""
        with contextlib.suppress(OSError):
            shape, good = self._good_blocks()
            if len(good) == self._blocks and self._agrees(shape, 0):
                return self._map(shape)
        return None

    def _in_memory(self) -> np.ndarray:
        whole, self.computed = None, 0
        for block, values in self._compute(list(range(self._blocks))):
            if whole is None:
                shape = (len(self.dataset.samples), *values.shape[1:])
                whole = np.empty(shape, self._numpy)
            rows = self._rows(block)
            whole[rows.start : rows.stop] = values
        return whole

    def _rows(self, block: int) -> range:
        return range(block * BLOCK, min((block + 1) * BLOCK, len(self.dataset.samples)))

    def _row_bytes(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * self._numpy.itemsize

    def _write(self, blocks: list[int], shape: tuple[int, ...] | None) -> tuple[int, ...]:
        """Compute some blocks and write each to its place, then its checksum to the journal."""
        # Written, not stored through the map: a full disk is then an error and not a crash.
        is_new = shape is None
        with (
            self.file.open("wb" if is_new else "r+b") as file,
            self._journal.open("w" if is_new else "a", encoding="ascii") as journal,
        ):
            for block, values in self._compute(blocks):
                if block == blocks[0]:
                    shape = values.shape[1:]
                    # a line break first: the last run may have ended in the middle of a line
                    journal.write(json.dumps({"shape": shape}) + "\n" if is_new else "\n")
                content = values.tobytes()
                file.seek(block * BLOCK * self._row_bytes(shape))
                file.write(content)
                file.flush()
                journal.write(f"{block} {zlib.crc32(content)} \n")
                journal.flush()
        return shape

    @torch.no_grad()
    def _compute(self, blocks: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number and the features of each block, while the next one is decoded."""
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
                features = _forward(self.network, pictures, self.precision)
                self.computed += len(features)
                yield block, self._stored(features)
                bar.update()

    def _submit(self, threads: ThreadPoolExecutor, block: int) -> list[Future]:
        return [threads.submit(self.dataset.__getitem__, row) for row in self._rows(block)]

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


def fastest_precision(network: nn.Module, pictures: Tensor) -> torch.dtype:
    """Return bfloat16 if this device computes with it and the answers stay the same.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    pictures : Tensor
        (B, channels, height, width); the first few are tried.

    Returns
    -------
    torch.dtype
        bfloat16 where what comes out differs by at most 3 % (root mean square) from float32.
    """
    if mixed_precision(pictures.device, on_cpu=True) is None:
        return torch.float32
    some = pictures[:TRIED]
    exact, quick = (_forward(network, some, dtype) for dtype in (torch.float32, torch.bfloat16))
    difference = (quick - exact).norm() / exact.norm()
    return torch.bfloat16 if difference <= CLOSE else torch.float32


def _forward(network: nn.Module, pictures: Tensor, precision: torch.dtype) -> Tensor:
    """Return what the network makes of the pictures, as float32."""
    is_mixed = precision != torch.float32
    with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=is_mixed):
        return network(pictures).float()
