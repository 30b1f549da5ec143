"""Make the picture of the page at / for README: python -m docs.screenshot [URL], with a service running at URL.

The video is the sample video (`make sample`). Needs Chromium and the requirements for development.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from service.commands import sample

PICTURE = Path(__file__).parent / "page.png"
SIZE = {"width": 1180, "height": 930}  # what a README shows without making the text too small to read


def take(url: str, path: Path = PICTURE, chromium: str | None = shutil.which("chromium")) -> None:
    """Write the picture to ``path``, as the page looks when the service at ``url`` has answered."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        video = Path(directory) / "clip.mp4"
        sample.write(video)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", device_scale_factor=1)
        page.goto(url)
        page.set_input_files("#file", str(video))
        page.wait_for_function("() => document.body.dataset.state === 'done'", timeout=120_000)
        page.focus("#timeline")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.wait_for_function("() => !document.getElementById('video').seeking")
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        page.wait_for_timeout(500)  # the strip of pictures is drawn as the browser finds them
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000")
    print(f"Wrote {PICTURE}.")
