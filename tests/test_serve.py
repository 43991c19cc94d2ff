"""The predictor, what it refuses, and the web page with what strangers may send to it."""

import io
import json
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import psutil
import pytest
import requests
import torch
from PIL import Image

from helpers import serve
from helpers.catalog import AOI, data_folder
from helpers.data import open_data
from helpers.models import LeNet
from helpers.serve import MOST_BYTES, Predictor
from helpers.training import load_model, save_model, write_metrics
from helpers.transfer import load_backbone
from workshop import teach


def in_bytes(picture, kind="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def drawn(seed, vertical=False):
    """A grey picture: noise, or noise with a bright vertical streak."""
    pixels = np.random.default_rng(seed).normal(160, 8, (128, 128))
    pixels[:, 60:68] += 60 * vertical
    return in_bytes(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


def strange():
    """A picture with colours and sharp edges."""
    pixels = np.random.default_rng(0).integers(0, 2, (64, 64, 3), np.uint8) * 255
    return in_bytes(Image.fromarray(pixels))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A home with a tiny AOI data set and an untrained LeNet, and its predictor."""
    home = tmp_path_factory.mktemp("serve") / "Größe 数据"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(home))
        for part, count in (("train", 60), ("test", 20)):
            folder = data_folder("aoi") / "sample" / f"{part}_images"
            folder.mkdir(parents=True)
            rows = ["ID,Label"]
            for number in range(count):
                (folder / f"{number}.png").write_bytes(drawn(number, number % 2))
                rows.append(f"{number}.png,{3 * (number % 2)}")
            folder.with_name(f"{part}.csv").write_text("\n".join(rows) + "\n")
        torch.manual_seed(0)
        yield home, Predictor(made(home, "lenet", LeNet(classes=6)))


def made(home, name, model, **numbers):
    run = home / "runs" / "aoi" / name
    save_model(model, run / "model.safetensors")
    write_metrics(run, {"source": "sample"} | numbers)
    return run


@pytest.fixture
def asked(shared):
    return shared[1]


GOOD = drawn(0)


def test_it_answers_as_the_network_does_and_with_its_temperature(shared, tmp_path):
    home, asked = shared
    (tmp_path / "good.png").write_bytes(GOOD)
    model = load_model(asked.run / "model.safetensors")
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(GOOD)))).float() / 255
    with torch.no_grad():
        logits = model((pixels[None, None] - AOI.mean[0]) / AOI.std[0])[0]
    warm = Predictor(made(home, "warm", model, temperature=0.2))
    for predictor, temperature in ((asked, 1), (warm, 0.2)):
        answer = predictor.ask(tmp_path / "good.png")
        found = torch.tensor([answer.probabilities[name] for name in AOI.classes])
        assert torch.allclose(found, (logits / temperature).softmax(dim=0), atol=1e-5)
        assert list(answer.probabilities.values()) == sorted(found.tolist(), reverse=True)
        exported = predictor.network(predictor.prepare(answer.picture)[None])[0]
        assert torch.allclose(exported, found, atol=1e-6)
    assert asked.ask(tmp_path / "nothing.png").refusal.startswith("[Errno 2]")


def test_it_refuses_what_is_strange_and_few_others(asked):
    said = str(asked.ask(strange()))
    assert said.startswith("refused: this is unlike what it learned from (distance ")
    own = [asked.ask(drawn(1000 + seed, seed % 2)) for seed in range(50)]
    assert sum(bool(answer.refusal) for answer in own) <= 15
    assert str(next(a for a in own if not a.refusal)).count("%") == 3
    files = (drawn(number, number % 2) for number in range(20))
    share = sum(asked.ask(file).score > asked.limit for file in files) / 20
    assert asked.measured == f"It refuses {share:.0%} of 20 test pictures of its own kind."


def test_what_sets_the_limit_is_not_among_what_it_knows(asked):
    assert len(asked.known) == 48 and (asked.familiar > asked.limit).sum() == 1
    found = [asked.ask(drawn(number, number % 2)).score for number in range(0, 60, 5)]
    assert found == pytest.approx(asked.familiar.tolist(), abs=1e-3)


def test_of_few_pictures_all_are_kept(shared, monkeypatch):
    monkeypatch.setattr(serve, "FEW", 100)
    few = Predictor(shared[1].run)
    assert len(few.known) == len(few.familiar) == 60 and few.limit == few.familiar.max()
    assert few.ask(GOOD).score < 1e-3 and few.ask(strange()).refusal  # it knows itself
    own = [few.ask(drawn(1000 + seed, seed % 2)) for seed in range(50)]
    assert sum(bool(answer.refusal) for answer in own) <= 5


def test_what_is_no_number_is_refused(shared):
    model = LeNet(classes=6)
    torch.nn.init.constant_(model.conv1.weight, math.nan)
    diverged = Predictor(made(shared[0], "diverged", model))
    assert "unlike" in diverged.ask(GOOD).refusal and "100%" in diverged.measured


def test_without_test_pictures_its_false_alarms_are_unknown(shared):
    table = data_folder("aoi") / "sample" / "test.csv"
    table.rename(table.with_suffix(".away"))
    try:
        again = Predictor(shared[1].run)
    finally:
        table.with_suffix(".away").rename(table)
    assert again.limit == shared[1].limit and "is unknown" in again.measured


def test_the_map_shows_the_places_that_the_network_looks_at(shared):
    model = LeNet(classes=6)
    places = model.linear1.weight.detach().view(120, 16, 29, 29)
    places[:, :, 5:], places[:, :, :, 5:] = 0, 0  # it looks at one corner only
    heat = Predictor(made(shared[0], "corner", model)).ask(GOOD).heat
    assert heat.shape == (29, 29) and heat[:5, :5].max() == 1
    assert not heat[5:].any() and not heat[:, 5:].any()


def test_a_head_answers_with_the_backbone_that_it_was_trained_on(home, monkeypatch):
    monkeypatch.setattr(serve, "FAMILIAR", 30)
    monkeypatch.setattr(serve, "OWN", 5)
    source, backbone = open_data("food").source, load_backbone("tf_efficientnet_lite0")
    head = home / "runs" / "food" / "head"
    save_model(torch.nn.Linear(backbone.outputs, 3), head / "head.safetensors")
    numbers = {"source": source, "backbone": backbone.name, "backbone_weights": backbone.mark}
    write_metrics(head, numbers)
    answer = Predictor(head).ask(strange())
    assert set(answer.probabilities) == {"pizza", "steak", "sushi"}
    assert answer.heat.shape == (5, 5)
    write_metrics(head, numbers | {"backbone_weights": "0123456789abcdef"})
    with pytest.raises(ValueError, match="trained on other weights"):
        Predictor(head)
    with pytest.raises(FileNotFoundError, match="nothing/metrics.json"):
        Predictor("runs/food/nothing")


@pytest.fixture(scope="module")
def address(shared):
    """Where the page is; somebody left an upload, and a proxy leads nowhere."""
    pytest.importorskip("gradio")
    left = shared[0] / "build" / "uploads" / "0123" / "somebody.png"
    left.parent.mkdir(parents=True)
    left.write_bytes(GOOD)
    blocks = teach.page(shared[1])
    assert not left.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:1")
        found = serve.launch(blocks)
    assert "no_proxy" not in os.environ
    yield found
    blocks.close(verbose=False)


def send(address, data, name="picture.png"):
    """Upload a file and ask for it: verdict, classes, map."""
    files = {"files": (name, data)}
    sent = requests.post(f"{address}gradio_api/upload", files=files, timeout=60)
    assert sent.status_code == 200, sent.text
    return ask(address, sent.json()[0])


def ask(address, path, **more):
    picture = path and {"path": path, "meta": {"_type": "gradio.FileData"}, **more}
    url = f"{address}gradio_api/call/ask"
    event = requests.post(url, json={"data": [picture]}, timeout=60).json()["event_id"]
    said = requests.get(f"{url}/{event}", timeout=120).text
    assert "event: complete" in said, said
    return json.loads(said.split("data: ", 1)[1].splitlines()[0])


def test_requests_side_by_side_are_answered_correctly(address, asked):
    pictures = [drawn(seed, seed % 2) for seed in range(16)]
    expected = [asked.ask(one) for one in pictures]
    with ThreadPoolExecutor(16) as threads:
        by_page = list(threads.map(lambda data: send(address, data), pictures))
        for answer, again in zip(expected, threads.map(asked.ask, pictures), strict=True):
            assert again.score == answer.score and np.array_equal(again.heat, answer.heat)
    for (verdict, classes, looked), answer in zip(by_page, expected, strict=True):
        assert ("No answer" in verdict) == bool(answer.refusal) == (not looked)
        if looked:
            assert requests.get(looked["url"], timeout=30).content[:2] == b"\xff\xd8"  # a JPEG
        for one in classes["confidences"] if classes else ():
            assert one["confidence"] == pytest.approx(answer.probabilities[one["label"]], abs=1e-4)


def test_what_is_no_picture_gets_a_sentence_and_the_page_lives_on(address):
    for name, data in {"a.png": GOOD[:5000], "a.svg": b"<svg/>", "a.html": b"<script>"}.items():
        verdict, classes, looked = send(address, data, name)
        assert "The picture" in verdict and not classes and not looked
    assert ask(address, None) == ["", {}, None]
    assert send(address, drawn(1))[0].startswith("###")


def test_too_large_a_request_is_refused_unread(address):
    url = f"{address}gradio_api/upload"
    for body in (bytes(MOST_BYTES + 200_000), iter([b"no length"])):
        said = requests.post(url, data=body, timeout=60)
        assert (said.status_code, said.text) == (413, "Too large.")
    both = {"Content-Length": "100", "Transfer-Encoding": "chunked"}  # the second one counts
    assert requests.post(url, data=iter([b"no"]), headers=both, timeout=60).status_code == 413


def test_a_stranger_is_turned_away(address):
    port = address.rstrip("/").rsplit(":", 1)[1]
    assert requests.get(address, headers={"Host": "evil.example"}, timeout=30).status_code == 400
    url = f"{address}gradio_api/call/ask"
    for origin, status in {
        "http://evil.example": 403,
        "null": 403,  # a sandboxed frame
        f"http://localhost:{port}": 403,  # not the name that this one was asked by
        "http://127.0.0.1:8888": 403,
        f"http://127.0.0.1:{port}": 200,
    }.items():
        said = requests.post(url, json={"data": [None]}, headers={"Origin": origin}, timeout=30)
        assert said.status_code == status, origin
    said = requests.get(address, timeout=30)
    assert said.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert "fonts.googleapis" not in said.text
    assert '"analytics_enabled":false' in said.text.replace(" ", "")
    listening = {
        one.laddr.ip
        for one in psutil.Process().net_connections("inet")
        if one.status == "LISTEN" and one.laddr.port == int(port)
    }
    assert listening == {"127.0.0.1"}


def test_nothing_is_fetched_and_no_other_file_is_read(address, tmp_path):
    asked_for = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            asked_for.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    (tmp_path / "a.png").write_bytes(GOOD)
    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}/a.png"
        for path in (url, "/etc/passwd", str(tmp_path / "a.png"), "a\0b", "../a", "."):
            for more in ({}, {"meta": {}}, {"url": url}):  # without meta Gradio looks at no path
                with pytest.raises(AssertionError, match="event: error"):
                    ask(address, path, **more)
        for way in ("file=", "file/", "proxy="):
            assert requests.get(f"{address}gradio_api/{way}{url}", timeout=30).status_code == 403
        other.shutdown()
    assert asked_for == []
    assert requests.get(f"{address}gradio_api/file=/etc/passwd", timeout=30).status_code == 403
    assert send(address, drawn(1))[0].startswith("###")
