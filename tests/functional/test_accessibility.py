"""Both pages under an accessibility checker (axe), in light and dark, on a desk and on a phone."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None and os.environ.get("CI"):
        pytest.fail("the browser is not installed: apt-get install chromium")
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def pages(propensity, trained, tmp_path_factory) -> dict[str, Path]:
    """The report of the small study, and its first prospect's page."""
    customer = tmp_path_factory.mktemp("pages") / "customer.html"
    first = trained.read("report.json")["prospects"][0]["customer_id"]
    answer = propensity("explain", trained.study, first, "--runs", trained.runs, "--html", customer)
    assert answer.code == 0, answer.err
    return {"report": trained.folder / "report.html", "customer": customer}


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "customer"])
def test_axe_finds_nothing(browser, pages, name, scheme, width):
    # The page's policy lets no script in but its own: the checker comes past it.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        page.goto(pages[name].as_uri())
        for details in page.locator("details").all():
            details.evaluate("element => element.open = true")
        if name == "report":
            page.locator("#list-table tbody button").first.click()
        found = Axe().run(page)
        assert not found.response["violations"], found.generate_report()
        assert len(found.response["passes"]) > 20
    finally:
        context.close()
