"""Find a file of trained weights on this machine, check it, read it."""

import hashlib
import re
import warnings
from pathlib import Path

import pooch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from helpers.catalog import WEIGHTS, weights_folder

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.pth$")


def weights_mark(network: nn.Module) -> str:
    """Return a fingerprint of a network's weights, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def find_weights(name: str) -> Path | None:
    """Return a weight file that is on this machine: in data/weights, or in torch's own cache.

    Parameters
    ----------
    name : str
        In the catalog, for example "vgg16".

    Returns
    -------
    Path or None
        Not yet checked: `read_weights` does that.
    """
    file = WEIGHTS[name].archive.file
    folders = (weights_folder(), Path(torch.hub.get_dir()) / "checkpoints")
    return next((folder / file for folder in folders if (folder / file).is_file()), None)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a .pth or .safetensors file; nothing in it is run.

    Parameters
    ----------
    file : Path
        Where it has the name of one that torchvision publishes, its -xxxxxxxx.pth are the first
        digits of its SHA-256, and are checked [1]_.

    Returns
    -------
    dict
        Tensors by name, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, not what its name says, or holds something other than weights.

    References
    ----------
    .. [1] https://docs.pytorch.org/docs/stable/hub.html, load_state_dict_from_url, check_hash
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"There is no weight file {file}.")
    is_published = file.name in {facts.archive.file for facts in WEIGHTS.values()}
    wanted = HASH_IN_NAME.search(file.name) if is_published else None
    if wanted and not pooch.file_hash(file).startswith(wanted[1]):
        raise ValueError(
            f"{file} is damaged or something else: its SHA-256 does not begin with {wanted[1]}. "
            "Delete it and get it again."
        )
    try:
        if file.suffix == ".safetensors":
            weights = load_file(file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle protocols: it loads or it does not
                weights = torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or cut off ({error}). Get it again.") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise ValueError(
            f"{file} cannot be read as weights: it is damaged, cut off, or holds more than weights "
            "(a whole pickled model, say). Expected a .safetensors file, or a .pth file with a "
            "state_dict."
        ) from error
    is_dictionary = isinstance(weights, dict) and bool(weights)
    if not is_dictionary or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{file} holds something other than weights. Expected a state_dict.")
    return weights
