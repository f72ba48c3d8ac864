"""The report in a real browser: it opens, its style applies, it fits, and it asks for nothing."""

import html
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from propensity.report import write_report

pytestmark = pytest.mark.slow

SAMPLE = json.loads((Path(__file__).parents[1] / "fixtures" / "report.json").read_text(encoding="utf-8"))
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--enable-logging=stderr", "--v=0",
)  # fmt: skip
# The report's own policy forbids scripts, so a page of the test looks into a frame of the width of a phone or a desk.
PROBE = """<!doctype html><link rel="icon" href="data:,">
<iframe id="frame" src="report.html" style="width:{width}px;height:900px;border:0"></iframe><pre id="out"></pre>
<script>
document.getElementById("frame").onload = event => {{
  const page = event.target.contentDocument, root = page.documentElement, style = event.target.contentWindow;
  const cut = [...page.querySelectorAll("main *")].filter(element =>
    element.getBoundingClientRect().right > root.clientWidth + 1 && !element.closest(".scroll, svg, .unseen"));
  document.getElementById("out").textContent = JSON.stringify({{
    overflow: root.scrollWidth - root.clientWidth, cut: cut.map(element => element.outerHTML.slice(0, 80)),
    paper: style.getComputedStyle(page.body).backgroundColor,
    contents: style.getComputedStyle(page.querySelector(".contents")).position,
    pictures: [...page.images].every(image => image.complete && image.naturalWidth > 0),
    prospects: page.querySelectorAll(".prospects > details").length,
    details: style.getComputedStyle(page.querySelector(".prospects details .reasons")).display,
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None and os.environ.get("CI"):
        pytest.fail("the browser is not installed: apt-get install chromium")
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    return program


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    profiles = iter(range(100))

    def run(address: str, *switches: str) -> subprocess.CompletedProcess[str]:
        profile = tmp_path / f"profile-{next(profiles)}"
        return subprocess.run(
            [chromium, *SWITCHES, f"--user-data-dir={profile}", *switches, address],
            capture_output=True, text=True, encoding="utf-8", timeout=120, check=True,
        )  # fmt: skip

    return run


class Recording(http.server.ThreadingHTTPServer):
    """A server of one folder that remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(folder))  # type: ignore[arg-type, misc]

            def log_message(self, *_: object) -> None:
                asked.append(self.path)

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, Recording, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    write_report(SAMPLE, folder / "report.html")
    with Recording(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, server, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_report_opens_from_disk_with_every_reason_and_no_complaint(browse, tmp_path):
    path = write_report(SAMPLE, tmp_path / "report.html")
    opened = browse(path.as_uri(), "--dump-dom")
    assert "CONSOLE" not in opened.stderr
    for person in SAMPLE["prospects"]:
        assert person["customer_id"] in opened.stdout
        assert all(reason["text"] in opened.stdout for reason in person["reasons"])
    assert opened.stdout.count('<svg class="chart"') == 17


def test_text_from_data_runs_nothing(browse, tmp_path):
    report = json.loads(json.dumps(SAMPLE))
    attack = (
        "</style></title><script>document.title='broken';console.error('broken')</script><img src=x onerror=alert(1)>"
    )
    report["prospects"][0]["reasons"][0]["text"] = attack
    report["study"].update(name=attack, question=attack)
    path = write_report(report, tmp_path / "report.html")
    opened = browse(path.as_uri(), "--dump-dom")
    assert "CONSOLE" not in opened.stderr
    assert "<script" not in opened.stdout
    assert "&lt;script&gt;document.title='broken'" in opened.stdout


@pytest.mark.parametrize(("width", "contents"), [(360, "static"), (800, "static"), (1400, "sticky")])
def test_the_page_fits_its_window_and_asks_for_nothing(browse, served, width, contents):
    folder, server, address = served
    (folder / "probe.html").write_text(PROBE.format(width=width), encoding="utf-8")
    opened = browse(f"{address}/probe.html", "--dump-dom", "--window-size=1500,1000")
    seen = json.loads(re.search(r'<pre id="out">(.+?)</pre>', opened.stdout)[1])
    assert seen["overflow"] == 0
    assert seen["cut"] == []
    assert seen["contents"] == contents
    assert seen["paper"] == "rgb(251, 251, 249)"
    assert seen["pictures"]
    assert seen["prospects"] == len(SAMPLE["prospects"])
    assert "CONSOLE" not in opened.stderr
    assert sorted(server.asked) == ["/probe.html", "/report.html"]


USE = """<!doctype html><link rel="icon" href="data:,">
<iframe id="frame" src="report.html" style="width:1200px;height:900px;border:0"></iframe><pre id="out"></pre>
<script>
const frame = document.getElementById("frame");
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument, style = frame.contentWindow;
  const text = id => page.getElementById(id).textContent;
  const body = () => [...page.querySelectorAll("#list-table tbody tr")].map(row => row.innerText.trim());
  const seen = { first: body().length, shown: text("list-table_info"), before: text("depth-buyers") };
  const slider = page.getElementById("depth");
  slider.value = 2; slider.dispatchEvent(new style.Event("input"));
  seen.after = text("depth-buyers"); seen.vain = text("depth-vain");
  seen.spoken = slider.getAttribute("aria-valuetext");
  const search = page.querySelector(".dt-search input");
  search.value = "second"; search.dispatchEvent(new style.Event("input"));
  setTimeout(() => {
    seen.found = body().length;
    page.querySelector("#list-table tbody button").click();
    seen.open = page.querySelector("#list-table .waterfall").innerText;
    seen.expanded = page.querySelector("#list-table tbody button").getAttribute("aria-expanded");
    seen.injected = page.querySelectorAll("#list-table img").length;
    document.getElementById("out").textContent = JSON.stringify(seen);
  }, 800);
}, 800);
</script>"""


def test_the_list_is_searched_a_row_opens_and_the_slider_counts(browse, tmp_path):
    count, attack = 60, "<img src=x onerror=alert(1)>"
    columns = {
        "rank": list(range(1, count + 1)),
        "customer_id": [f"C{i}" for i in range(count)],
        "probability": [0.5] * count,
        "probability_low": [0.4] * count,
        "probability_high": [0.6] * count,
        "points": [530.0] * count,
        "reasons": [[[f"{'second' if i == 1 else 'other'} reason {attack}", 20.0]] for i in range(count)],
        "other_points": [10.0] * count,
    }
    depths = [
        {"contacts": 30 * k, "share": k / 2, "buyers": 12.0 * k, "low": 9.0 * k, "high": 15.0 * k, "captured": k / 2}
        for k in (1, 2)
    ]
    rows = {"of": count, "base_points": 500.0, "columns": columns}
    folder = tmp_path / "site"
    folder.mkdir()
    write_report(SAMPLE | {"rows": rows, "depths": depths}, folder / "report.html")
    (folder / "probe.html").write_text(USE, encoding="utf-8")
    with Recording(folder) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/probe.html"
        opened = browse(address, "--dump-dom", "--virtual-time-budget=20000")
        server.shutdown()
    assert "CONSOLE" not in opened.stderr
    seen = json.loads(html.unescape(re.search(r'<pre id="out">(.+?)</pre>', opened.stdout, re.DOTALL)[1]))
    assert (seen["first"], seen["found"], seen["expanded"], seen["injected"]) == (25, 1, "true", 0)
    assert "60 prospects" in seen["shown"]
    assert (seen["before"], seen["after"], seen["vain"]) == ("12", "24", "36")
    assert seen["spoken"] == "60 contacts, 24 buyers expected"
    lines = re.sub(r"[ \t]+", " ", seen["open"])
    assert "Base: where everybody starts 500.0" in lines
    assert f"second reason {attack} +20.0" in lines
    assert "Everything else +10.0" in lines
    assert "Points 530.0" in lines
    assert sorted(server.asked) == ["/probe.html", "/report.html"]


def test_dark_where_the_reader_prefers_it(browse, served):
    folder, _, address = served
    (folder / "probe.html").write_text(PROBE.format(width=1000), encoding="utf-8")
    opened = browse(f"{address}/probe.html", "--dump-dom", "--blink-settings=preferredColorScheme=0")
    seen = json.loads(re.search(r'<pre id="out">(.+?)</pre>', opened.stdout)[1])
    assert seen["paper"] == "rgb(20, 23, 27)"


def test_a_picture_and_a_print_can_be_made(browse, tmp_path):
    path = write_report(SAMPLE, tmp_path / "report.html")
    browse(path.as_uri(), f"--screenshot={tmp_path / 'report.png'}", "--window-size=1400,2000")
    browse(path.as_uri(), f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    assert (tmp_path / "report.png").stat().st_size > 100_000
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes())
    assert 6 <= len(pages) <= 16
