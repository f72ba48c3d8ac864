"""The README's pictures, taken of the demo: ``make pictures`` (needs Chromium).

python docs/pictures.py DEMO [CHROMIUM]: screenshots of parts of the demo's report, and of its first prospect's page.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

HERE = Path(__file__).parent / "pictures"
# Picture → page, element that it begins with, height in pixels.
PICTURES = {
    "answer": ("report.html", "answer", 640),
    "gains": ("report.html", "gains", 980),
    "list": ("report.html", "list-frame", 620),
    "customer": ("customer.html", "why", 640),
    "timeline": ("customer.html", "timeline", 520),
}
WIDTH = 1000
# The page stands in a tall frame that is pushed up until the element is at the top.
FRAME = """<!doctype html><body style="margin:0;overflow:hidden"><iframe id="frame" src="{page}" scrolling="no"
style="border:0;width:100%;height:40000px"></iframe><script>
const frame = document.getElementById("frame");
frame.onload = () => setTimeout(() => {{
  const top = frame.contentDocument.getElementById("{element}").getBoundingClientRect().top;
  frame.style.marginTop = `${{24 - top}}px`;
}}, 1500);
</script>"""


def main(demo: Path, chromium: str = "chromium") -> None:
    """Take all pictures."""
    run = demo / "runs" / "demo" / "latest"
    first = pd.read_parquet(run / "prospects.parquet")["customer_id"].iloc[0]
    HERE.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "report.html").write_bytes((run / "report.html").read_bytes())
        study = demo / "configs" / "demo.yaml"
        explain = ["explain", study, first, "--model", run, "--html", work / "customer.html"]
        subprocess.run([sys.executable, "-m", "propensity", *explain], check=True, capture_output=True)  # noqa: S603
        for name, (page, element, height) in PICTURES.items():
            frame = work / f"frame_{name}.html"
            frame.write_text(FRAME.format(page=page, element=element), encoding="utf-8")
            switches = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            # The frame may look into a page that lies beside it.
            switches += ["--allow-file-access-from-files", "--virtual-time-budget=8000"]
            picture = HERE / f"{name}.png"
            size = f"--window-size={WIDTH},{height}"
            command = [chromium, *switches, size, f"--screenshot={picture}", frame.as_uri()]
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            print(picture)  # noqa: T201


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]), *sys.argv[2:])
