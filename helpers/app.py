"""The web page of a trained network: for this machine only, and without any outside request."""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from helpers.predictor import Answer, Predictor
from helpers.uploads import MOST_BYTES

if TYPE_CHECKING:
    import gradio as gr

WAITING = 200  # clients at once


def gradio():
    """Import Gradio so that it never asks for anything outside this machine.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if direct != "*":  # Gradio asks its own page whether it is there
        here = ("127.0.0.1", "localhost")
        direct = ",".join(dict.fromkeys(filter(None, [*direct.split(","), *here])))
        os.environ.update(no_proxy=direct, NO_PROXY=direct)
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="workshop-app-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # what people sent
    try:
        import gradio as gr
        from gradio import processing_utils
    except ImportError as error:
        raise ValueError(
            'Gradio is not installed. Run: python -m pip install -e ".[app]"'
        ) from error

    async def refuse(url: str, *_: object, **__: object) -> str:
        raise gr.Error("An address is no picture: send the picture itself.")

    processing_utils.async_ssrf_protected_download = refuse  # else a client may name any address
    return gr


def launch(page: "gr.Blocks", **options) -> str:
    """Start a page for this machine only, and return its address.

    It sends no statistics, has no public link, and shows the fonts of the reader's system:
    Gradio's own come from Google. `**options` are Gradio's, server_port for example.
    """
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    options |= {"theme": gradio().themes.Default(**fonts), "footer_links": []}
    options |= {"share": False, "ssr_mode": False, "enable_monitoring": False, "mcp_server": False}
    options |= {"max_file_size": MOST_BYTES, "quiet": True, "prevent_thread_lock": True}
    options["state_session_capacity"] = WAITING  # Gradio's own number fills the memory
    return page.launch(server_name="127.0.0.1", **options)[1]


def sent(payload: "gr.FileData | None") -> str | None:
    """Return the file that was uploaded, as it came; an empty path where it is any other file.

    For a component's `preprocess`. Gradio's own would decode a picture before `read_upload` has
    measured it, and looks where a file lies only if whoever sends its path asks for that.
    """
    if payload is None:
        return None
    folder = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
    with contextlib.suppress(OSError, ValueError):  # of a path that cannot be one
        if Path(payload.path).resolve().is_relative_to(folder):
            return payload.path
    return ""


def overlay(answer: Answer) -> np.ndarray:
    """Return the picture in grey with what the network looked at over it, (h, w, 3) uint8 RGB."""
    small = answer.picture.copy()
    small.thumbnail((512, 512))
    grey = cv2.cvtColor(np.asarray(small.convert("L")), cv2.COLOR_GRAY2RGB)
    heat = cv2.resize(answer.heat, small.size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(grey, 0.55, cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.45, 0)


def page(predictor: Predictor) -> "gr.Blocks":
    """Build the page: a picture in; a verdict, the classes and the activation map out.

    Over HTTP its function is called "ask". It is asked about one picture after the other: a batch
    would be quicker, but a request that Gradio refuses takes all others of its batch along.
    """
    gr = gradio()

    def ask(path: str | None) -> tuple[str, dict | None, np.ndarray | None]:
        if path is None:  # the picture was taken away
            return "", None, None
        answer = predictor.ask(path or b"")
        if answer.refusal:
            return f"### No answer\n{answer.refusal[:1].upper()}{answer.refusal[1:]}", None, None
        near = f"Distance {answer.score:.1f}, at most {predictor.guard.limit:.1f}"
        verdict = f"### {next(iter(answer.probabilities))}\n{near}: like what it learned from."
        return verdict, answer.probabilities, overlay(answer)

    name = predictor.facts.title
    with gr.Blocks(title=name, delete_cache=(60, 300)) as blocks:
        gr.Markdown(f"# {name}: {', '.join(predictor.classes)}\n{predictor.guard}")
        with gr.Row():
            picture = gr.Image(sources=["upload", "webcam"], type="filepath", label="Your picture")
            with gr.Column():
                outputs = [gr.Markdown(), gr.Label(label="Classes", num_top_classes=5)]
            outputs.append(gr.Image(label="What it looked at", format="jpeg", buttons=[]))
        picture.preprocess = sent
        picture.change(ask, picture, outputs, api_name="ask", show_progress="minimal")
    return blocks.queue(max_size=WAITING)


def serve(run: str | None = None, port: int | None = None, browser: bool = True) -> int:
    """Show the page of a run, see `Predictor`, until Ctrl+C.

    Without a port it takes the first free one from 7860.
    """
    gradio()  # if it is not installed, that is said before anything is computed
    shown = page(Predictor(run))
    address = launch(shown, server_port=port, inbrowser=browser)
    print(f"The page is at {address} for this machine only. Ctrl+C ends it.", flush=True)
    shown.block_thread()  # until Ctrl+C; it closes the page
    return 0
