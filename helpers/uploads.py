"""Read a picture that anybody may have sent: measure it first, and refuse it in one sentence."""

import io
import zipfile
from pathlib import Path

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP")
MOST_BYTES, MOST_PIXELS = 20_000_000, 50_000_000  # a telephone's pictures have less of both
SMALLEST, LONGEST = 32, 8  # pixels of the shorter side; times the shorter side


def read_upload(content: bytes | str | Path) -> Image.Image:
    """Read a picture, RGB and upright, from somebody who may mean harm.

    Parameters
    ----------
    content : bytes or path
        PNG, JPEG, WebP or BMP, whatever its name ends in; of an animation, the first picture.

    Raises
    ------
    ValueError
        If it is no such picture, broken, also a file of another kind, too large or too small.
    """
    try:
        if not isinstance(content, bytes):
            with Path(content).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ValueError("there is no such file, or it cannot be read.") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"the file has more than {MOST_BYTES / 1e6:.0f} MB. Make it smaller.")
    is_zip = zipfile.is_zipfile(io.BytesIO(content))
    if b"%PDF-" in content[:1024] or b"<script" in content or is_zip:
        raise ValueError("the file is a picture and something else at once. Save it anew.")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)  # decodes nothing yet
        if picture.width * picture.height > MOST_PIXELS:
            raise Image.DecompressionBombError  # as Pillow does, but later
    except Image.DecompressionBombError:
        most = f"{MOST_PIXELS / 1e6:.0f} million pixels"
        raise ValueError(f"it has more than {most}. Make it smaller.") from None
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise ValueError("this is no PNG, JPEG, WebP or BMP picture.") from error
    if min(picture.size) < SMALLEST:
        raise ValueError(f"it is too small: at least {SMALLEST} pixels each way are needed.")
    if max(picture.size) > LONGEST * min(picture.size):  # it would be enlarged by its shorter side
        raise ValueError("it is a strip. Cut out what matters.")
    if picture.mode.startswith(("I", "F")):
        raise ValueError("it has more than 8 bits per channel. Save it with 8.")
    try:
        return ImageOps.exif_transpose(picture).convert("RGB")
    except Exception as error:
        raise ValueError("the picture is damaged or cut off. Get it again.") from error
