"""The web page of a trained network: for this machine only, and without any outside request."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.predictor import Answer, Predictor
from helpers.uploads import MOST_BYTES

# Gradio reads these when it is imported: no statistics; its own page, which it asks whether it is
# there, is behind no proxy; what people send lies in a folder of its own, which goes at the end.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
os.environ["no_proxy"] = ",".join(
    filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1,localhost"])
)
UPLOADS = Path(tempfile.mkdtemp(prefix="workshop-app-")).resolve()
os.environ["GRADIO_TEMP_DIR"] = str(UPLOADS)
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)

import gradio as gr  # noqa: E402
from gradio import processing_utils  # noqa: E402

WAITING = 200  # clients at once


async def _refuse(url: str, *_: object, **__: object) -> str:
    raise gr.Error("An address is no picture: send the picture itself.")


processing_utils.async_ssrf_protected_download = _refuse  # else a client may name any address


def launch(page: gr.Blocks, **options) -> str:
    """Start a page for this machine only, without a public link, and return its address.

    `**options` are Gradio's, inline for example.
    """
    return page.launch(
        server_name="127.0.0.1",
        share=False,
        theme=gr.themes.Default(font="system-ui", font_mono="monospace"),
        footer_links=[],
        max_file_size=MOST_BYTES,
        state_session_capacity=WAITING,  # Gradio's own number fills the memory
        quiet=True,
        prevent_thread_lock=True,
        **options,
    )[1]


def sent(payload: gr.FileData | None) -> str | None:
    """Return the file that was uploaded, as it came: for a component's `preprocess`.

    Gradio's own would decode a picture before `read_upload` has measured it, and looks where a
    file lies only if whoever sends its path asks for that.
    """
    if payload and not Path(payload.path or "").resolve().is_relative_to(UPLOADS):
        raise gr.Error("This file was not uploaded: send the picture itself.")
    return payload and payload.path


def overlay(answer: Answer) -> Image.Image:
    """Return the picture, the darker the less the network looked at a place."""
    picture = answer.picture.copy()
    picture.thumbnail((512, 512))
    looked = Image.fromarray((55 + 200 * answer.heat).astype(np.uint8)).resize(picture.size)
    return Image.composite(picture, Image.new("RGB", picture.size), looked)


def page(predictor: Predictor) -> gr.Blocks:
    """Build the page: a picture in; a verdict, the classes and the map out.

    Over HTTP its function is called "ask".
    """

    def ask(path: str | None) -> tuple[str, dict | None, Image.Image | None]:
        if path is None:  # the picture was taken away
            return "", None, None
        answer = predictor.ask(path)
        if answer.refusal:
            return f"### No answer\n{answer.refusal[:1].upper()}{answer.refusal[1:]}", None, None
        near = f"Distance {answer.score:.1f}, at most {predictor.guard.limit:.1f}"
        verdict = f"### {next(iter(answer.probabilities))}\n{near}: like what it learned from."
        return verdict, answer.probabilities, overlay(answer)

    picture = gr.Image(sources=["upload", "webcam"], type="filepath", label="Your picture")
    picture.preprocess = sent
    outputs = [gr.Markdown(), gr.Label(label="Classes", num_top_classes=5)]
    outputs.append(gr.Image(label="What it looked at", format="jpeg", buttons=[]))
    shown = gr.Interface(
        ask,
        picture,
        outputs,
        live=True,
        title=f"{predictor.facts.title}: {', '.join(predictor.classes)}",
        description=str(predictor.guard),
        api_name="ask",
        flagging_mode="never",
        delete_cache=(60, 300),
    )
    return shown.queue(max_size=WAITING)


def serve(run: str) -> int:
    """Show the page of a run, see `Predictor`, until Ctrl+C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what people sent goes, too
    shown = page(Predictor(run))
    print(f"The page is at {launch(shown)} for this machine only. Ctrl+C ends it.", flush=True)
    shown.block_thread()  # until Ctrl+C; it closes the page
    return 0
