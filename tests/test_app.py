"""The predictor, its guard, the exported file, and the web page with what may be sent to it."""

import errno
import io
import json
import math
import os
import subprocess
import sys
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import requests
import torch
from browsing import browser, is_local
from conftest import REPOSITORY, notebook_cell, run_python
from misbehaving_server import Server
from PIL import Image

from helpers import __main__, predictor
from helpers.catalog import AOI, data_folder
from helpers.checkpoints import save_model, write_metrics
from helpers.datasets import open_data
from helpers.files import CannotWrite
from helpers.guard import Guard, point
from helpers.models import LeNet
from helpers.predictor import Predictor
from helpers.transfer import load_backbone


def in_bytes(picture, kind="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def drawn(seed, vertical=False):
    """A grey picture: noise, or noise with a bright vertical streak."""
    pixels = np.random.default_rng(seed).normal(160, 8, (128, 128))
    pixels[:, 60:68] += 60 * vertical
    return in_bytes(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A home with a tiny AOI data set and an untrained LeNet; nothing else is drawn."""
    home = tmp_path_factory.mktemp("app") / "Größe 数据"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(home))
        root = data_folder("aoi") / "sample-1"
        for part, count in (("train", 60), ("test", 20)):
            (root / f"{part}_images").mkdir(parents=True)
            rows = ["ID,Label"]
            for number in range(count):
                (root / f"{part}_images" / f"{number}.png").write_bytes(drawn(number, number % 2))
                rows.append(f"{number}.png,{3 * (number % 2)}")
            (root / f"{part}.csv").write_text("\n".join(rows) + "\n")
        torch.manual_seed(0)
        run = home / "runs" / "aoi" / "lenet"
        save_model(LeNet(classes=6), run / "model.safetensors")
        write_metrics(run, {"source": "sample-1"})
        yield home, Predictor("runs/aoi/lenet")


@pytest.fixture
def asked(shared):
    return shared[1]


def strange():
    """A picture with colours and sharp edges."""
    pixels = np.random.default_rng(0).integers(0, 2, (64, 64, 3), np.uint8) * 255
    return in_bytes(Image.fromarray(pixels))


def chunk(kind, data):
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def png_header(width, height):
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0]))


def polyglot():
    buffer = io.BytesIO(drawn(0))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("run.py", "print()")
    return buffer.getvalue()


GOOD = drawn(0)
HOSTILE = {
    "empty": (b"", "no PNG, JPEG, WebP or BMP"),
    "text": (b"hello", "no PNG, JPEG, WebP or BMP"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG, JPEG, WebP or BMP"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no PNG, JPEG, WebP or BMP"),
    "cut off": (GOOD[: len(GOOD) // 2], "damaged or cut off"),
    "broken": (GOOD[:100] + bytes(200) + GOOD[300:], "damaged or cut off"),
    "bomb": (png_header(30_000, 30_000) + chunk(b"IDAT", zlib.compress(bytes(10**6))), "million"),
    "large": (in_bytes(Image.new("1", (9000, 9000))), "more than 50 million pixels"),
    "no size": (png_header(0, 0) + chunk(b"IEND", b""), "PNG"),
    "tiny": (in_bytes(Image.new("L", (8, 8))), "too small"),
    "strip": (in_bytes(Image.new("L", (40_000, 40))), "a strip"),
    "deep": (in_bytes(Image.new("I;16", (64, 64))), "8 bits"),
    "a zip": (polyglot(), "something else"),
    "a page": (drawn(1) + b"<script>alert(1)</script>", "something else"),
    "a pdf": (b"%PDF-1.7\n" + GOOD, "something else"),
    "too long": (GOOD + bytes(20_000_000), "20 MB"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_cannot_be_judged_gets_one_sentence(asked, kind):
    data, words = HOSTILE[kind]
    before = psutil.Process().memory_info().rss
    bad, good = asked.ask(data), asked.ask(GOOD)
    assert words in bad.refusal and bad.refusal.count("\n") == 0
    assert not bad.probabilities and bad.picture is None
    assert good.probabilities
    assert psutil.Process().memory_info().rss - before < 400e6


def test_it_answers_as_the_network_does(asked):
    from helpers.checkpoints import load_model

    answer = asked.ask(GOOD)
    model = load_model(asked.run / "model.safetensors")
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(GOOD)))).float() / 255
    with torch.no_grad():
        expected = model((pixels[None, None] - AOI.mean) / AOI.std).softmax(dim=1)[0]
    found = torch.tensor([answer.probabilities[name] for name in AOI.classes])
    assert torch.allclose(found, expected, atol=1e-5)
    shown = list(answer.probabilities.values())
    assert shown == sorted(shown, reverse=True)
    with torch.no_grad():
        assert np.array_equal(asked.ask(GOOD).heat, answer.heat)
    assert answer.heat.shape == (29, 29) and 0 <= answer.heat.min() <= answer.heat.max() <= 1


def test_the_guard_refuses_what_is_strange_and_few_others(asked):
    assert "unlike the pictures it learned from" in asked.ask(strange()).refusal
    own = [asked.ask(drawn(1000 + seed, seed % 2)) for seed in range(50)]
    assert sum(bool(answer.refusal) for answer in own) <= 15
    assert len(asked.guard.familiar) == 12 and (asked.guard.familiar > asked.guard.limit).sum() == 1
    refused = sum(
        asked.ask(drawn(number, number % 2)).score > asked.guard.limit for number in range(20)
    )
    assert str(asked.guard) == f"It refuses {refused / 20:.0%} of 20 test pictures of its own kind."


def test_the_guard_is_kept_and_belongs_to_one_network(shared, monkeypatch):
    _, first = shared
    made = []

    def note(self, source):
        made.append(source)
        return first.guard

    monkeypatch.setattr(Predictor, "_learned", note)
    again = Predictor(first.run).guard
    assert not made
    for name, tensor in vars(first.guard).items():
        assert torch.equal(vars(again)[name], tensor)
    (file,) = first.run.glob("guard-*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    Predictor(first.run)
    assert made == ["sample-1"] and file.read_bytes() == whole
    model = (first.run / "model.safetensors").read_bytes()
    save_model(LeNet(classes=6), first.run / "model.safetensors")
    Predictor(first.run)
    assert len(made) == 2
    (first.run / "model.safetensors").write_bytes(model)


def test_a_guard_that_cannot_be_kept_is_made_anew(shared, monkeypatch):
    def refuse(file):
        raise CannotWrite(errno.EROFS, "read-only", file)

    monkeypatch.setattr(predictor, "whole_file", refuse)
    monkeypatch.setattr(predictor, "load_file", lambda file: {})
    assert Predictor(shared[1].run).guard.limit == shared[1].guard.limit


def test_what_is_no_number_is_refused(shared):
    model, run = LeNet(classes=6), shared[1].run.with_name("diverged")
    torch.nn.init.constant_(model.conv1.weight, math.nan)
    save_model(model, run / "model.safetensors")
    write_metrics(run, {"source": "sample-1"})
    diverged = Predictor(run)
    assert "unlike the pictures" in diverged.ask(GOOD).refusal
    assert str(diverged.guard).startswith("It refuses 100%")


def test_a_damaged_training_picture_is_left_out(shared):
    _, first = shared
    file = data_folder("aoi") / "sample-1" / "train_images" / "3.png"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    try:
        assert len(first._learned("sample-1").known) == len(first.guard.known) - 1
    finally:
        file.write_bytes(whole)


def test_a_point_is_how_strongly_and_how_unevenly_each_filter_answers():
    maps = torch.tensor([[[1.0, 3.0]], [[8.0, 8.0]]])  # (2, 1, 2)
    assert torch.allclose(point(maps), torch.tensor([2**0.5, 8**0.5, 1.0, 0.0]))


def test_without_test_pictures_its_false_alarms_are_unknown(shared):
    _, first = shared
    table = data_folder("aoi") / "sample-1" / "test.csv"
    table.rename(table.with_suffix(".away"))
    try:
        guard = first._learned("sample-1")
    finally:
        table.with_suffix(".away").rename(table)
    assert guard.limit == first.guard.limit
    assert "is unknown: there are no test pictures" in str(guard)


def test_a_guard_needs_some_pictures():
    with pytest.raises(ValueError, match="9 training pictures are too few.*at least 10"):
        Guard.learn(torch.rand(9, 6), torch.rand(2, 6))


def test_a_network_for_colour_is_refused(tmp_path):
    run = tmp_path / "runs" / "food" / "one_process"
    save_model(LeNet(classes=3, channels=3, size=64), run / "model.safetensors")
    write_metrics(run, {})
    with pytest.raises(ValueError, match="belongs to another network than LeNet"):
        Predictor(run)


def test_the_map_shows_the_places_that_the_linear_layers_look_at(shared):
    torch.manual_seed(0)
    model, run = LeNet(classes=6), shared[1].run.with_name("corner")
    places = model.linear1.weight.detach().view(120, 16, 29, 29)
    places[:, :, 5:], places[:, :, :, 5:] = 0, 0  # it looks at one corner only
    save_model(model, run / "model.safetensors")
    write_metrics(run, {"source": "sample-1"})
    heat = Predictor(run).ask(GOOD).heat
    assert heat[:5, :5].max() == 1
    assert not heat[5:].any() and not heat[:, 5:].any()


def test_a_head_belongs_to_the_weights_it_was_trained_on(home, monkeypatch):
    monkeypatch.setattr(predictor, "FAMILIAR", 30)
    monkeypatch.setattr(predictor, "OWN", 5)
    backbone = load_backbone("compact_vgg")
    run = home / "runs" / "food" / "compact_vgg"
    save_model(torch.nn.Linear(backbone.outputs, 3), run / "head.safetensors")
    numbers = {
        "source": open_data("food").root.name,
        "backbone": "compact_vgg",
        "backbone_weights": backbone.mark,
    }
    write_metrics(run, numbers)
    assert set(Predictor(run).ask(strange()).probabilities) == {"pizza", "steak", "sushi"}
    write_metrics(run, numbers | {"backbone_weights": "0123456789abcdef"})
    with pytest.raises(ValueError, match="other weights of compact_vgg than are here"):
        Predictor(run)


def test_the_exported_file_gives_the_same_answers(asked, tmp_path):
    answers = [asked.ask(drawn(seed)) for seed in range(6)]
    names = {"torch": torch, "io": io, "predictor": asked, "answers": answers, "run": tmp_path}
    exec(notebook_cell(14, "torch.export.save"), names)
    extra = {"about.json": ""}
    program = torch.export.load(tmp_path / "exported.pt2", extra_files=extra).module()
    assert json.loads(extra["about.json"])["classes"] == list(AOI.classes)
    for count in (1, 7):
        pictures = [drawn(seed, seed % 2) for seed in range(count)]
        answers = [asked.ask(one) for one in pictures]
        expected = [[a.probabilities[name] for name in AOI.classes] for a in answers]
        found = program(torch.stack([asked.prepare(a.picture) for a in answers]))
        assert (found - torch.tensor(expected)).abs().max() < 1e-4


def test_predict_prints_one_line_a_picture(shared, tmp_path, capsys):
    home, asked = shared
    (tmp_path / "good.png").write_bytes(GOOD)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    code = (
        "import sys; from helpers.__main__ import main; code = main(sys.argv[1:]); "
        "assert 'gradio' not in sys.modules; sys.exit(code)"
    )
    words = ["predict", "--run", "runs/aoi/lenet", tmp_path / "good.png"]
    done = run_python(code, *words, WORKSHOP_HOME=home)
    expected = asked.ask(GOOD)
    assert done.stdout == f"{tmp_path / 'good.png'}: {expected}\n", done.stderr
    assert done.returncode == bool(expected.refusal)
    done = run_python(code, *words, tmp_path / "bad.png", tmp_path / "none", WORKSHOP_HOME=home)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and len(lines) == 3
    assert __main__.main(["predict", "--run", "runs/aoi/lenet", *["none"] * 9, "gone"]) == 1
    assert capsys.readouterr().out.count("no such file") == 10
    assert "refused: this is no PNG" in lines[1] and "no such file" in lines[2]


def test_a_run_that_is_not_there_is_named(shared, capsys):
    assert __main__.main(["predict", "--run", "runs/aoi/nothing", "a.png"]) == 1
    assert "Expected runs/<data set>/<run>" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        __main__.main(["predict"])
    assert "required: PICTURE" in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(shared):
    """The address of the page."""
    pytest.importorskip("gradio")
    from helpers.app import launch, page

    blocks = page(shared[1])
    address = launch(blocks)
    yield address
    blocks.close(verbose=False)


def send(address, data, name="picture.png"):
    """Upload a file and ask for it, as a program would: verdict, classes, map."""
    files = {"files": (name, data)}
    uploaded = requests.post(f"{address}gradio_api/upload", files=files, timeout=60)
    if uploaded.status_code != 200:
        return uploaded.text
    return ask(address, uploaded.json()[0])


def ask(address, path, **more):
    picture = path and {"path": path, "meta": {"_type": "gradio.FileData"}, **more}
    url = f"{address}gradio_api/call/ask"
    event = requests.post(url, json={"data": [picture]}, timeout=60).json()["event_id"]
    said = requests.get(f"{url}/{event}", timeout=120).text
    assert "event: complete" in said, said
    return json.loads(said.split("data: ", 1)[1].splitlines()[0])


def test_fifty_requests_at_once_are_answered_correctly(server, asked):
    pictures = [drawn(seed, seed % 2) for seed in range(50)]
    expected = [asked.ask(one) for one in pictures]
    with ThreadPoolExecutor(50) as threads:
        found = list(threads.map(lambda data: send(server, data), pictures))
    for (verdict, classes, _), answer in zip(found, expected, strict=True):
        assert ("No answer" in verdict) == bool(answer.refusal)
        if not answer.refusal:
            shown = {one["label"]: one["confidence"] for one in classes["confidences"]}
            for name, probability in shown.items():
                assert probability == pytest.approx(answer.probabilities[name], abs=1e-4)


def test_hostile_uploads_get_a_sentence_and_the_server_lives_on(server):
    for kind, (data, words) in HOSTILE.items():
        said = send(server, data, f"{kind}.png" if kind != "svg" else "a.svg")
        if kind == "too long":  # refused while it comes in
            assert "maximum allowed size" in said
            continue
        verdict, classes, looked = said
        assert words in verdict, kind
        assert not classes and not looked
    assert send(server, drawn(1))[0].startswith("###")


def test_an_address_is_not_fetched(server):
    with Server({"a.png": GOOD}) as other:
        address = f"{other.url}/a.png"
        with pytest.raises(AssertionError, match="An address is no picture"):
            ask(server, address)
        for path in (address, "/nowhere"):
            with pytest.raises(AssertionError, match="event: error"):
                ask(server, path, meta={}, url=address)
        assert not other.requests


def test_no_other_file_is_read(server, tmp_path):
    (tmp_path / "a.png").write_bytes(GOOD)
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(tmp_path / "waiting")  # to open it would wait for ever
    for path in ("/etc/passwd", str(tmp_path / "a.png"), str(tmp_path / "waiting"), "a\0b"):
        for more in ({}, {"meta": {}}):  # without it, Gradio looks at no path
            with pytest.raises(AssertionError, match="event: error"):
                ask(server, path, **more)
    assert send(server, drawn(1))[0].startswith("###")


def test_a_picture_that_was_taken_away_gets_no_verdict(server):
    assert ask(server, None) == ["", {}, None]


def test_behind_a_proxy_the_page_is_reached_and_other_exceptions_stay():
    code = "import helpers.app, os; print(os.environ['no_proxy'])"
    for name in ("no_proxy", "NO_PROXY"):
        said = run_python(code, **{"no_proxy": "", "NO_PROXY": "", name: "intranet"})
        assert said.stdout == "intranet,127.0.0.1,localhost\n", said.stderr


def test_the_pictures_that_set_the_limit_are_not_those_it_knows():
    points = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    guard = Guard.learn(points, points[:2])
    assert len(guard.known) == 16
    assert [guard.score(one) for one in points[::5]] == pytest.approx(guard.familiar.tolist())
    others = torch.cdist(guard.known, guard.known).kthvalue(5).values  # the first is itself
    found = [guard.score(one) for one in points[torch.arange(20) % 5 > 0]]
    assert found == pytest.approx(others.tolist(), abs=1e-4)


def test_the_memory_stays_flat(server):
    data = drawn(0)

    def after(count):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: send(server, data), range(count)))
        return psutil.Process().memory_info().rss

    start = after(100)
    assert after(150) - start < 100e6


def test_the_page_is_for_this_machine_only(server):
    port = int(server.rstrip("/").rsplit(":", 1)[1])
    kinds = psutil.Process().net_connections("inet")
    bound = {c.laddr.ip for c in kinds if c.status == "LISTEN" and c.laddr.port == port}
    assert bound == {"127.0.0.1"}
    html = requests.get(server, timeout=30).text
    assert "fonts.googleapis" not in html and '"analytics_enabled":false' in html.replace(" ", "")


@pytest.mark.browser
def test_the_page_in_a_browser(server, tmp_path):
    (tmp_path / "a.png").write_bytes(GOOD)
    (tmp_path / "b.png").write_bytes(b"no picture")
    from browsing import SHOTS

    with browser() as opened:
        context = opened.new_context(viewport={"width": 1280, "height": 760})
        asked = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(server)
        for name, words in (("a.png", "istance"), ("b.png", "This is no PNG")):
            page.wait_for_selector("input[type=file]", state="attached", timeout=60_000)
            page.set_input_files("input[type=file]", tmp_path / name)
            page.wait_for_selector(f"text={words}", timeout=60_000)
            page.screenshot(path=SHOTS / f"app_{name}")
            page.reload()
        context.close()
    assert len(asked) > 10
    assert [url for url in asked if not is_local(url)] == []


def test_the_command_shows_the_page_with_the_network_cut(shared, tmp_path):
    pytest.importorskip("gradio")
    command = ["tests/cut_network.py", sys.executable, "-c", PROBE]
    environment = os.environ | {"WORKSHOP_HOME": str(shared[0]), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert "for this machine only" in done.stdout and "200" in done.stdout, done.stderr
    assert not list(tmp_path.glob("workshop-app-*"))  # the folder for what people send


PROBE = """
import subprocess, sys, requests
command = [sys.executable, "-m", "helpers", "app", "--run", "runs/aoi/lenet"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
line = next(line for line in server.stdout if "http" in line)
print(line)
print(requests.get(line.split()[4], timeout=30).status_code)
server.terminate()
server.wait(60)
"""
