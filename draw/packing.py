"""From pictures to the archive of a sample; the same pictures give the same bytes on any day."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
from tqdm.contrib.concurrent import thread_map

JPEG = (cv2.IMWRITE_JPEG_QUALITY, 82, cv2.IMWRITE_JPEG_OPTIMIZE, 1)


def draw_jpegs(draw: Callable, jobs: dict[str, tuple]) -> dict[str, bytes]:
    """Return the content of a JPEG file for each name; `draw` returns red, green, blue."""

    def jpeg(*job: object) -> bytes:
        return cv2.imencode(".jpg", draw(*job)[..., ::-1], JPEG)[1].tobytes()

    files = thread_map(jpeg, *zip(*jobs.values(), strict=True), desc="Drawing pictures")
    return dict(zip(jobs, files, strict=True))


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write a .zip, or a compressed tar archive under any other name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16  # on Windows, too
                archive.writestr(entry, content)
        return
    plain = BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    # 31: as gzip, without a time. Short blocks suit noisy pixels better than the usual level 8.
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31, memLevel=5)
    path.write_bytes(squeeze.compress(plain.getvalue()) + squeeze.flush())
