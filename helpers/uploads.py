"""Read a picture that anybody may have sent: measure it first, and refuse it in one sentence."""

import io
import zipfile
from pathlib import Path

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP")
MOST_BYTES, MOST_PIXELS = 20_000_000, 50_000_000  # a telephone's pictures have less of both
TOO_LARGE = f"it has more than {MOST_PIXELS / 1e6:.0f} million pixels. Make it smaller."
SMALLEST, LONGEST = 32, 8  # pixels of the shorter side; times the shorter side


def read_upload(picture: bytes | str | Path | Image.Image) -> Image.Image:
    """Read a picture from somebody who may mean harm; nothing is decoded before it is measured.

    Parameters
    ----------
    picture : bytes, path or PIL.Image.Image
        PNG, JPEG, WebP or BMP, whatever its name ends in; of an animation, the first picture.

    Returns
    -------
    PIL.Image.Image
        RGB and upright.

    Raises
    ------
    ValueError
        If it is no such picture, broken, also a file of another kind, too large or too small.
    """
    if not isinstance(picture, Image.Image):
        if not isinstance(picture, bytes):
            try:
                with Path(picture).open("rb") as file:
                    picture = file.read(MOST_BYTES + 1)
            except (OSError, ValueError) as error:
                raise ValueError("there is no such file, or it cannot be read.") from error
        if len(picture) > MOST_BYTES:
            raise ValueError(f"the file has more than {MOST_BYTES / 1e6:.0f} MB. Make it smaller.")
        is_zip = zipfile.is_zipfile(io.BytesIO(picture))
        if b"%PDF-" in picture[:1024] or b"<script" in picture or is_zip:
            raise ValueError("the file is a picture and something else at once. Save it anew.")
        try:
            picture = Image.open(io.BytesIO(picture), formats=FORMATS)
        except Image.DecompressionBombError:
            raise ValueError(TOO_LARGE) from None
        except Exception as error:  # broken files make Pillow raise nearly anything
            raise ValueError("this is no PNG, JPEG, WebP or BMP picture.") from error
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ValueError(TOO_LARGE)
    if min(width, height) < SMALLEST:
        raise ValueError(f"{width}×{height} pixels are too few: at least {SMALLEST} each way.")
    if max(width, height) > LONGEST * min(width, height):
        raise ValueError(f"{width}×{height} pixels are a strip. Cut out what matters.")
    if picture.mode.startswith(("I", "F")):
        raise ValueError("it has more than 8 bits per channel. Save it with 8.")
    try:
        return ImageOps.exif_transpose(picture).convert("RGB")
    except Exception as error:
        raise ValueError("the picture is damaged or cut off. Get it again.") from error
