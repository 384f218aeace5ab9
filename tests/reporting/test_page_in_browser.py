"""The page of a report in a real browser, and on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pypdfium2
import pytest

from clusterrun.reporting.page.drawing import render_page

PROBE = """
<script>
const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("securitypolicyviolation", (event) => faults.push(event.blockedURI));
addEventListener("load", () => {
  const paper = () => getComputedStyle(document.body).backgroundColor;
  const before = paper();
  document.getElementById("theme").click();
  const wide = document.documentElement.scrollWidth > innerWidth;
  const seen = {before, after: paper(), faults, wide, title: document.title, text: document.body.innerText,
                requests: performance.getEntriesByType("resource").map((entry) => entry.name),
                curves: [...document.querySelectorAll("polyline")].map((line) => line.getBBox().width)};
  document.body.textContent = JSON.stringify(seen);
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    where = shutil.which("chromium")
    if where is None:
        pytest.skip(
            "Chromium is not installed: `make cluster-packages` does it, with Debian's package chromium"
        )
    return where


@pytest.mark.parametrize(("scheme", "papers"), [
    (1, ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]), (0, ["rgb(13, 17, 23)", "rgb(255, 255, 255)"]),
])  # fmt: skip
def test_the_page_in_a_browser(browser, run_report, tmp_path, scheme, papers):
    """Dark follows the browser, the button switches; no error, no request, no code from the spec."""
    place = tmp_path / "page.html"
    place.write_text(render_page(run_report).replace("</head>", f"{PROBE}</head>"))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900",
             f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=2000", "--enable-logging=stderr"]  # fmt: skip
    done = subprocess.run(
        [browser, *words, "--dump-dom", place.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seen = json.loads(
        re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)[1]
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
    )
    assert [seen["before"], seen["after"]] == papers
    assert (seen["faults"], seen["requests"], seen["wide"]) == ([], [], False)
    assert seen["title"] == "gpt2-medium-20261121-060228-9786: COMPLETED"
    for words in (
        "ETTR",
        "GPU hours",
        "steps that were trained again",
        "Loss over steps",
        "preempted",
        "document.title",
    ):
        assert words in seen["text"]
    assert len(seen["curves"]) >= 16
    assert max(seen["curves"]) > 100
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_the_page_on_paper(browser, run_report, tmp_path):
    """It is black on white, on few sheets, and no heading is alone at the end of a page."""
    place, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    place.write_text(render_page(run_report).replace("<html", '<html data-theme="dark"', 1))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer",
             f"--print-to-pdf={paper}"]  # fmt: skip
    subprocess.run([browser, *words, place.as_uri()], capture_output=True, timeout=120, check=True)
    sheets = [*pypdfium2.PdfDocument(paper)]
    texts = [sheet.get_textpage().get_text_range().splitlines() for sheet in sheets]
    assert 2 <= len(sheets) <= 4
    assert not {"When", "Training", "Attempts", "Job spec"} & {text[-1] for text in texts}
    assert "Loss over steps" in {line for text in texts for line in text}
    assert "Job script" not in {line for text in texts for line in text}, (
        "what is folded up is not printed"
    )
    for sheet in sheets:
        assert sheet.render().to_numpy()[0, 0].tolist() == [255, 255, 255]
