"""One picture file to pixels: which files count, measured before they are decoded, upright."""

import csv
import io
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # EPS would start Ghostscript
ENDINGS = ("png", "jpg", "jpeg", "jfif", "mpo", "webp", "bmp", "tif", "tiff", "gif", "ppm")
MOST_PIXELS = 100_000_000  # a picture with more is a mistake or a bomb
USUAL_SCANS = 12  # of a progressive JPEG, at most; each one decodes all of it again
LEAST_SIDE, MOST_RATIO = 16, 50  # pixels; of the longer side to the shorter


def is_picture(path: Path) -> bool:
    """Return whether a file counts as a picture: by its ending, and it is not hidden."""
    return path.suffix.lower()[1:] in ENDINGS and not is_hidden(path.name)


def is_hidden(name: str) -> bool:
    """Return whether a system, an editor or a file server made this file or folder for itself."""
    return name.startswith((".", "@", "__"))


def open_picture(source: Path | bytes, channels: int = 3) -> Image.Image:
    """Read a picture from anybody: RGB, or grey for one channel; upright; of several the first.

    It is measured before it is decoded. A `ValueError` says what is wrong with it.
    """
    name = "the picture" if isinstance(source, bytes) else source
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)  # decodes nothing yet
        short, long = sorted(picture.size)
        if short * long > MOST_PIXELS or short < LEAST_SIDE or long > MOST_RATIO * short:
            raise ValueError(
                f"it is {picture.width}×{picture.height} pixels. Expected at least {LEAST_SIDE} "
                f"each way, at most {MOST_PIXELS / 1e6:.0f} million, and no strip"
            )
        scans = content.count(b"\xff\xda") if content[:2] == b"\xff\xd8" else 1
        if scans * short * long > USUAL_SCANS * MOST_PIXELS:
            raise ValueError(f"it is a JPEG with {scans} scans. Save it anew")
        ImageOps.exif_transpose(picture, in_place=True)  # as the camera was held
        if picture.mode.startswith("I;16"):  # Pillow's own conversion cuts at 255 and leaves white
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.mode in ("I", "F"):
            raise ValueError("it has 32 bits per pixel. Save it with 8")
        return picture.convert("L" if channels == 1 else "RGB")
    except Image.UnidentifiedImageError:
        raise ValueError(f"{name} is not a picture in one of {', '.join(FORMATS)}.") from None
    except Exception as error:  # those above; and broken files make Pillow raise nearly anything
        raise ValueError(f"{name} cannot be used: {error}.") from error


def squeezed(picture: Image.Image, size: int) -> Tensor:
    """Return a picture, squeezed into a square, as uint8 (C, size, size)."""
    # INTER_AREA averages, so fine noise does not alias; enlarging it would show blocks
    method = cv2.INTER_AREA if min(picture.size) > size else cv2.INTER_LINEAR
    pixels = cv2.resize(np.asarray(picture), (size, size), interpolation=method)
    return torch.from_numpy(pixels).view(size, size, -1).permute(2, 0, 1).contiguous()


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder, in order; hidden ones, and what hidden folders hold, not."""
    paths = [path.relative_to(folder) for path in sorted(Path(folder).rglob("*"))]
    paths = [folder / path for path in paths if not any(map(is_hidden, path.parts))]
    return [path for path in paths if path.is_file()]


def names_below(folder: Path) -> list[str]:
    """Return the names of the pictures below a folder, in order."""
    files = filter(is_picture, files_below(folder))
    return [file.relative_to(folder).as_posix() for file in files]


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that hold pictures, in order: not our cache, not hidden."""
    inside = [path for path in sorted(folder.glob("*")) if path.is_dir()]  # also what is linked
    return [path for path in inside if not is_hidden(path.name) and names_below(path)]


def read_table(csv_file: Path, labelled: bool = False) -> dict[str, str]:
    """Return the Label of each ID in a CSV, "" where there is none; check every row."""
    rows = {}
    with Path(csv_file).open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream, restval="")
        names = table.fieldnames or []
        if "ID" not in names or (labelled and "Label" not in names):
            found = f"The first line of {csv_file} is {','.join(names)!r}"
            raise ValueError(f"{found}; expected ID,Label, with commas and in these letters.")
        for row in table:
            if not any(row.values()):  # a spreadsheet leaves empty rows at the end
                continue
            name, path = row["ID"], PureWindowsPath(row["ID"])  # / and C: and \\ on every system
            if name in rows or path.anchor or ".." in path.parts:
                problem = "is there already" if name in rows else "is outside its folder"
                raise ValueError(f"{csv_file}, line {table.line_num}: {name!r} {problem}.")
            rows[name] = row.get("Label", "").strip()
    return rows
