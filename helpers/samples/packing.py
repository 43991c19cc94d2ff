"""From drawing one picture to the finished files of a sample, the same bytes on every machine."""

import gzip
import os
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import cv2
from tqdm.auto import tqdm

JPEG_QUALITY = 88


def draw_all(draw: Callable, jobs: list[tuple]) -> list:
    """Return what `draw` makes of the arguments in each job, in order, on all processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = pool.map(lambda job: draw(*job), jobs)
        return list(tqdm(pictures, total=len(jobs), desc="Drawing pictures"))


def draw_jpegs(draw: Callable, jobs: dict[str, tuple]) -> dict[str, bytes]:
    """Return the content of a JPEG file for each name; `draw` returns red, green, blue."""

    def jpeg(*job: object) -> bytes:
        options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
        return cv2.imencode(".jpg", draw(*job)[..., ::-1], options)[1].tobytes()

    return dict(zip(jobs, draw_all(jpeg, list(jobs.values())), strict=True))


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """Write a zip archive that has the same bytes on every day and every system."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)


def write_tar_gz(path: Path, files: dict[str, bytes]) -> None:
    """Write a compressed tar archive that has the same bytes on every day and every system."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
