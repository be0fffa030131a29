"""The page: a place to drop a photo, and its answers; Gradio draws it and takes the photo in."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from poc.shared.errors import UsageError

from .answers import Answers
from .bodies import App
from .fragment import write_problem
from .gate import Gate
from .uploads import ADVICE, MAX_FILE_BYTES, Uploads

# Photos that wait for their turn; further ones are told that the page is busy.
MAX_WAITING = 16
STYLE = """
.gradio-container { max-width: 62rem !important; width: 100%; margin: 0 auto !important; }
.poc-answers { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.poc-answers h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
.poc-answers p { margin: .3rem 0; }
.poc-answers .poc-label { font-size: 1.15rem; }
.poc-answers .poc-soft { opacity: .8; font-size: .9rem; }
.poc-answers .poc-problem { border-left: 4px solid #b4560f; padding: .5rem .9rem; }
.poc-answers .poc-scroll { overflow-x: auto; max-width: 100%; margin: .7rem 0; }
.poc-answers .poc-picture { background: #ffffff; border-radius: 8px; }
.poc-answers img { display: block; max-width: 100%; min-width: 34rem; height: auto; margin: 0; }
.poc-answers table { border-collapse: collapse; width: 100%; margin: 0; border: 0; }
.poc-answers tr { border: 0; }
.poc-answers th, .poc-answers td { text-align: left; padding: .3rem .8rem .3rem 0;
 border: 0; border-bottom: 1px solid var(--border-color-primary); vertical-align: top; }
.poc-answers .poc-bar { display: block; height: .35rem; min-width: 5rem; border-radius: 3px;
 background: var(--border-color-primary); margin: .35rem 0 .2rem; }
.poc-answers .poc-bar span { display: block; height: 100%; border-radius: 3px;
 background: var(--color-accent); }
"""


def refuse_missing() -> None:
    """Refuse to start without Gradio.

    Raises:
        UsageError: It is not installed.
    """
    if find_spec("gradio") is None:
        raise UsageError(
            "Got `poc demo`, which needs the package gradio, not installed here. Expected it to be "
            "installed. Try pip install 'poc[demo]'."
        )


def silence(folder: Path) -> None:
    """Set what Gradio reads at its import: where uploads go, and that nothing is sent anywhere."""
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder),
        GRADIO_ANALYTICS_ENABLED="False",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="1",
    )


def build_app(answers: Answers, uploads: Uploads, *, is_loopback: bool) -> App:
    """Return the page as an ASGI application.

    Args:
        answers: The open runs.
        uploads: Folder of the uploads; `silence` was called with it.
        is_loopback: True if only this machine can call.
    """
    import fastapi
    import gradio

    def answer(path: str | None) -> tuple[None, str]:
        return None, answer_upload(answers, uploads, path)

    blocks = gradio.Blocks(title="poc demo", analytics_enabled=False)
    with blocks:
        gradio.Markdown(describe_page(answers))
        photo = gradio.File(
            label="Photo", type="filepath", file_count="single", height=130, elem_id="photo"
        )
        shown = gradio.HTML("", elem_id="answers", js_on_load=None)
        photo.upload(
            answer,
            inputs=photo,
            outputs=[photo, shown],
            api_visibility="private",
            concurrency_limit=1,
            show_progress_on=shown,
        )
    blocks.queue(max_size=MAX_WAITING, default_concurrency_limit=1)
    # Without `launch`, which would ask for a share link, look for a free port and call itself.
    app = gradio.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=MAX_FILE_BYTES,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        # Fonts of the reader's own system.
        theme=gradio.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=STYLE,
    )
    return Gate(cast("App", app), uploads, is_loopback=is_loopback)


def answer_upload(answers: Answers, uploads: Uploads, path: str | None) -> str:
    """Answer an uploaded photo, and delete it."""
    if path is None or not uploads.holds(path):
        return write_problem(f"There is no photo: {ADVICE}.")
    try:
        return answers.answer(Path(path))
    finally:
        uploads.discard(Path(path))


def describe_page(answers: Answers) -> str:
    """Return the head of the page in Markdown; names are shown as text."""
    names: Sequence[str] = [run.name for run in answers.runs]
    many = "the run" if len(names) == 1 else "each run"
    return (
        f"# poc demo\nDrop a photo: {many} answers on this machine, and the picture shows the "
        "parts that the answer reacts to. The photo is deleted after its answer."
    )
