"""The feature cache: never stale, resumed, mended, flat in memory, as exact as float32."""

import copy
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, run_python, write_png
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from helpers.features import BLOCK, FeatureCache

COUNT = 70  # three blocks, the last one shorter
TO_TENSOR = v2.Compose([v2.Resize((32, 32)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
    for number in range(COUNT):
        label = ("cat", "dog")[number % 2]
        picture = rng.integers(0, 255, (40, 36, 3), dtype=np.uint8)
        write_png(tmp_path / "pictures" / label / f"{number:03}.png", picture)
    return ImageFolder(tmp_path / "pictures", TO_TENSOR)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())


def loaded(images, network, folder, **options):
    """Return the features and how many pictures had to be computed."""
    cache = FeatureCache(images, network, folder, **options)
    pictures = cache.load()
    return pictures.images, cache.computed


def expected(images, network):
    with torch.inference_mode():
        return network(torch.stack([image for image, _ in images]))


def close(features, truth):
    return bool((features.float() - truth).norm() <= 0.02 * truth.norm())


def test_features_are_those_of_the_network_and_computed_once(images, network, tmp_path):
    features, computed = loaded(images, network, tmp_path / "cache")
    assert features.shape == (COUNT, 64) and features.dtype == torch.float16
    assert computed == COUNT
    assert close(features, expected(images, network))
    again, computed = loaded(images, network, tmp_path / "cache")
    assert computed == 0 and torch.equal(again, features)
    cache = FeatureCache(images, network, tmp_path / "cache")
    assert cache.load().labels.tolist() == images.targets
    assert cache.file.stat().st_size == COUNT * 64 * 2


def test_maps_keep_their_shape(images, network, tmp_path):
    features, _ = loaded(images, network[0], tmp_path / "cache", dtype=torch.float32)
    assert features.shape == (COUNT, 4, 30, 30) and features.dtype == torch.float32
    assert close(features, expected(images, network[0]))


def test_an_interrupted_run_goes_on_where_it_stopped(images, network, tmp_path):
    whole = images.loader
    opened = []

    def interrupted(path):
        opened.append(path)
        if len(opened) >= 2 * BLOCK + 6:  # three are read for the fingerprint
            raise KeyboardInterrupt
        return whole(path)

    images.loader = interrupted
    with pytest.raises(KeyboardInterrupt):
        loaded(images, network, tmp_path / "cache")
    images.loader = whole
    features, computed = loaded(images, network, tmp_path / "cache")
    assert BLOCK <= COUNT - computed < COUNT  # at least the first block was kept
    assert close(features, expected(images, network))


def spoil(file, at, content):
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(content)


def test_a_damaged_block_is_computed_again(images, network, tmp_path, capsys):
    cache = FeatureCache(images, network, tmp_path / "cache")
    before = cache.load().images.clone()
    spoil(cache.file, (BLOCK + 1) * 128, b"damage")
    features, computed = loaded(images, network, tmp_path / "cache")
    assert computed == BLOCK and torch.equal(features, before)
    assert "1 of 3 blocks do not fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "computed"), [("file", COUNT - BLOCK), ("journal", COUNT - BLOCK), ("garbage", COUNT)]
)
def test_a_cut_off_cache_is_mended(images, network, tmp_path, part, computed):
    cache = FeatureCache(images, network, tmp_path / "cache")
    before = cache.load().images.clone()
    journal = cache.file.with_suffix(".journal")
    if part == "file":
        os.truncate(cache.file, BLOCK * 128 + 10)
    elif part == "journal":  # in the middle of the second checksum
        os.truncate(journal, journal.stat().st_size - len(journal.read_text().splitlines()[3]) - 6)
    else:
        journal.write_bytes(b"\x00\xff not json")
    for wanted in (computed, 0):
        features, found = loaded(images, network, tmp_path / "cache")
        assert found == wanted and torch.equal(features, before)


def test_nothing_stale_is_served(images, network, tmp_path):
    folder = tmp_path / "cache"
    first, _ = loaded(images, network, folder)
    other_weights = copy.deepcopy(network)
    with torch.no_grad():
        other_weights[0].bias += 1
    assert loaded(images, other_weights, folder)[1] == COUNT
    other_transform = ImageFolder(images.root, v2.Compose([v2.Grayscale(3), TO_TENSOR]))
    assert loaded(other_transform, network, folder)[1] == COUNT
    path = images.samples[0][0]
    write_png(path, np.zeros((40, 36, 3), dtype=np.uint8))
    changed, computed = loaded(images, network, folder)
    assert computed == COUNT and not torch.equal(changed[0], first[0])
    assert len(list(folder.glob("*.bin"))) == 4


def test_another_forward_with_the_same_weights_is_noticed(images, tmp_path):
    class Body(nn.Module):
        def __init__(self, half):
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Conv2d(3, 4, 3)
            self.half = half

        def forward(self, pictures):
            maps = self.layer(pictures)
            return maps.amax((2, 3)) if self.half else maps.mean((2, 3))

    first, computed = loaded(images, Body(False), tmp_path / "cache")
    assert computed == COUNT
    second, computed = loaded(images, Body(True), tmp_path / "cache")
    assert computed == COUNT and close(second, expected(images, Body(True)))
    assert close(first, expected(images, Body(False)))  # still mapped, and untouched


def test_what_the_loader_does_counts(images, network, tmp_path):
    whole = images.loader
    assert loaded(images, network, tmp_path / "cache")[1] == COUNT
    images.loader = lambda path: whole(path).rotate(180)
    features, computed = loaded(images, network, tmp_path / "cache")
    assert computed == COUNT and close(features, expected(images, network))


def test_weights_changed_after_the_cache_was_made_count(images, network, tmp_path):
    cache = FeatureCache(images, network, tmp_path / "cache")
    cache.load()
    with torch.no_grad():
        network[0].weight[1] += 0.01
    network.train()
    assert close(cache.load().images, expected(images, network))
    assert cache.computed == COUNT and not network.training


def test_the_network_can_be_trained_afterwards(images, network, tmp_path):
    loaded(images, network, tmp_path / "cache")
    network.requires_grad_(True)
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    assert network[0].weight.grad is not None
    network.load_state_dict(network.state_dict())


def test_one_number_a_picture_and_one_picture(images, network, tmp_path):
    class Brightness(nn.Module):
        def forward(self, pictures):
            return pictures.mean((1, 2, 3))

    cache = FeatureCache(images, Brightness(), tmp_path / "cache")
    before = cache.load().images.clone()
    assert before.shape == (COUNT,)
    spoil(cache.file, 2 * BLOCK + 1, b"damage")
    after, computed = loaded(images, Brightness(), tmp_path / "cache")
    assert computed == BLOCK and torch.equal(after, before)
    images.samples = images.samples[:1]
    assert loaded(images, network, tmp_path / "cache")[0].shape == (1, 64)
    images.samples = []
    with pytest.raises(ValueError, match="has no picture"):
        loaded(images, network, tmp_path / "cache")


def test_an_unreadable_picture_is_named(images, network, tmp_path):
    from helpers.archives import read_photo

    images.loader = read_photo
    bad = images.samples[-1][0]
    os.truncate(bad, 50)
    with pytest.raises(ValueError, match=r"\d+\.png in .* cannot be decoded"):
        loaded(images, network, tmp_path / "cache")


def test_a_number_too_large_for_float16_is_refused(images, network, tmp_path):
    with torch.no_grad():
        network[0].weight *= 1e6
    with pytest.raises(ValueError, match=r"dtype=torch\.float32"):
        loaded(images, network, tmp_path / "cache")
    assert loaded(images, network, tmp_path / "cache", dtype=torch.float32)[1] == COUNT


FILL = """
    import sys
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2
    from helpers.features import FeatureCache

    torch.manual_seed(0)
    images = ImageFolder(sys.argv[1], v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]))
    images.samples = (images.samples * 100)[: int(sys.argv[3])]
    cache = FeatureCache(images, torch.nn.Conv2d(3, 16, 3), sys.argv[2])
    values = cache.load().images
    """


@pytest.mark.slow
def test_a_full_disk_or_a_read_only_folder_keeps_them_in_memory(images, tmp_path, namespace):
    code = textwrap.dedent(FILL) + "print(tuple(values.shape), cache.computed)"
    for mount, reason in (("size=300k", "The disk is full"), ("ro", "read-only")):
        script = (
            f'mount -t tmpfs -o {mount} none "$PLACE"; "$PYTHON" -c "$CODE" "$IMAGES" "$PLACE" 70'
        )
        (tmp_path / mount).mkdir()
        result = namespace(
            ["-m"],
            script,
            PLACE=tmp_path / mount,
            PYTHON=sys.executable,
            CODE=code,
            IMAGES=images.root,
        )
        assert result.returncode == 0, result.stderr
        assert reason in result.stdout
        assert "The features are kept in memory instead." in result.stdout
        assert result.stdout.endswith("(70, 16, 38, 34) 70\n")


@pytest.mark.slow
def test_a_finished_cache_in_a_read_only_folder_is_served(images, tmp_path, namespace):
    code = textwrap.dedent(FILL) + "print(cache.computed)"
    words = '"$PYTHON" -c "$CODE" "$IMAGES" "$PLACE" 70'
    script = f'{words}; mount --bind "$PLACE" "$PLACE"; mount -o remount,bind,ro "$PLACE"; {words}'
    (tmp_path / "cache").mkdir()
    result = namespace(
        ["-m"],
        script,
        PLACE=tmp_path / "cache",
        PYTHON=sys.executable,
        CODE=code,
        IMAGES=images.root,
    )
    assert result.stdout.split() == ["70", "0"], result


def test_two_kernels_at_once_compute_once(images, tmp_path):
    code = textwrap.dedent(FILL) + "print(cache.computed, float(values.float().mean()))"
    words = [sys.executable, "-c", code, str(images.root), str(tmp_path / "cache"), "70"]
    both = [
        subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    answers = sorted(process.communicate(timeout=120)[0].split()[-2:] for process in both)
    assert [row[0] for row in answers] == ["0", "70"]
    assert answers[0][1] == answers[1][1]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(images, tmp_path):
    if not Path("/proc/self/status").is_file():
        pytest.skip("the peak of a process is read from /proc, which only Linux has")
    code = textwrap.dedent(FILL) + "print(open('/proc/self/status').read())"
    peaks = []
    for count in (500, 5000):
        result = run_python(code, images.root, tmp_path / f"cache {count}", count)
        peaks.append(int(re.search(r"VmHWM:\s+(\d+) kB", result.stdout)[1]) / 1000)
    size = 5000 * 16 * 38 * 34 * 2 / 1e6
    assert peaks[1] - peaks[0] < size / 2, peaks  # MB; the features themselves are 207 MB
