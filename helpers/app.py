"""The web page of a trained network: for this machine only, and without any outside request."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from helpers.familiar import told
from helpers.predictor import Answer, Predictor
from helpers.uploads import MOST_BYTES

if TYPE_CHECKING:
    import gradio as gr

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def gradio():
    """Import Gradio so that it never asks for anything outside this machine.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    os.environ.update(QUIET)
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if direct != "*":  # Gradio asks its own page whether it is there
        others = filter(None, direct.split(","))
        direct = ",".join(dict.fromkeys([*others, "127.0.0.1", "localhost"]))
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
    _, address, _ = page.launch(
        server_name="127.0.0.1",
        share=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        footer_links=[],
        max_file_size=MOST_BYTES,
        theme=gradio().themes.Default(**fonts),
        quiet=True,
        prevent_thread_lock=True,
        **options,
    )
    return address


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

    Parameters
    ----------
    predictor : Predictor
        Pictures that wait at the same time are asked in batches of up to 8.

    Returns
    -------
    gradio.Blocks
        To `launch`; its function is called "ask" over HTTP.
    """
    gr = gradio()

    def ask(paths: Sequence[str | None]) -> tuple[list, list, list]:
        answers = predictor.ask_all([path or b"" for path in paths])
        verdicts = [
            "" if path is None  # it was taken away
            else f"### No answer\n{a.refusal[:1].upper()}{a.refusal[1:]}" if a.refusal
            else f"### {next(iter(a.probabilities))}\nDistance {a.score:.1f}, at most "
            f"{predictor.guard.limit:.1f}: like the pictures it learned from."
            for path, a in zip(paths, answers, strict=True)
        ]  # fmt: skip
        classes = [None if a.refusal else a.probabilities for a in answers]
        return verdicts, classes, [None if a.refusal else overlay(a) for a in answers]

    name = predictor.facts.title
    with gr.Blocks(title=name, analytics_enabled=False, delete_cache=(60, 300)) as blocks:
        gr.Markdown(f"# {name}: {', '.join(predictor.classes)}\n{told(predictor.guard)}")
        with gr.Row():
            picture = gr.Image(sources=["upload", "webcam"], type="filepath", label="Your picture")
            with gr.Column():
                verdict = gr.Markdown()
                classes = gr.Label(label="Classes", num_top_classes=5)
            looked = gr.Image(label="What it looked at", format="jpeg", buttons=[])
        # the file as it came: Gradio would open it before `read_upload` has measured it
        picture.preprocess = lambda payload: payload and payload.path
        outputs = [verdict, classes, looked]
        event = {"api_name": "ask", "batch": True, "max_batch_size": 8, "concurrency_limit": 1}
        picture.change(ask, picture, outputs, show_progress="minimal", **event)
    return blocks.queue(max_size=200)


def serve(run: str | Path | None = None, port: int | None = None, browser: bool = True) -> int:
    """Show the page of a run until Ctrl+C.

    Parameters
    ----------
    run : str or Path, optional
        See `helpers.predictor.Predictor`.
    port : int, optional
        Without it: the first free one from 7860.
    browser : bool
        False to print the address only.

    Returns
    -------
    int
        0.
    """
    gradio()  # if it is not installed, that is said before anything is computed
    blocks = page(Predictor(run))
    address = launch(blocks, server_port=port, inbrowser=browser)
    print(f"The page is at {address} for this machine only. Ctrl+C ends it.", flush=True)
    blocks.block_thread()  # until Ctrl+C; it closes the page
    return 0
