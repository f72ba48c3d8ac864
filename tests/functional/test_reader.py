"""A reader in a real browser uses the report of the demo and of coil2000; an accessibility checker (axe) is beside."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright

import propensity as pp

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PROPENSITY_SHARED_DATA", ROOT.parent / "shared" / "data"))


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
def runs(trained, tmp_path_factory) -> dict[str, Path]:
    """The folder of a run of the small demo, and of coil2000 with the models that are quick to fit."""
    if not DATA.is_dir():
        pytest.skip(f"the real data sets are not at {DATA} (PROPENSITY_SHARED_DATA)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROPENSITY_SHARED_DATA", str(DATA))
        study = pp.load_study(ROOT / "configs" / "coil2000.yaml").with_models("scorecard", "logistic")
        coil = pp.train(study, out=tmp_path_factory.mktemp("coil"), track=False)
    return {"demo": trained.folder, "coil2000": coil.folder}


@pytest.fixture(scope="module")
def pages(propensity, trained, runs, tmp_path_factory) -> dict[str, Path]:
    """The reports of both, and the page of the demo's first prospect."""
    customer = tmp_path_factory.mktemp("pages") / "customer.html"
    first = trained.read("report.json")["prospects"][0]["customer_id"]
    answer = propensity("explain", trained.study, first, "--runs", trained.runs, "--html", customer)
    assert answer.code == 0, answer.err
    return {"customer": customer, **{name: folder / "report.html" for name, folder in runs.items()}}


@pytest.mark.parametrize("name", ["demo", "coil2000"])
def test_the_list_is_searched_a_prospect_opened_and_the_slider_moved(browser, runs, name):
    report = json.loads((runs[name] / "report.json").read_text(encoding="utf-8"))
    rows, depths = report["rows"]["columns"], report["depths"]
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto((runs[name] / "report.html").as_uri())
        place = 17
        page.get_by_label("Search", exact=True).fill(rows["customer_id"][place])
        found = page.locator("#list-table tbody tr").filter(
            has=page.get_by_role("cell", name=rows["customer_id"][place], exact=True)
        )
        expect(found).to_have_count(1)
        found.get_by_role("button", name=f"Reasons of rank {place + 1}").click()
        told = page.locator("#list-table .waterfall")
        for text, points in rows["reasons"][place]:
            expect(told.get_by_role("row").filter(has_text=text)).to_contain_text(f"{abs(points):.1f}")
        expect(told).to_contain_text(f"{rows['points'][place]:.1f}")
        slider = page.get_by_label("Contact down to here")
        slider.focus()
        page.keyboard.press("Home")
        for depth in depths[:3]:
            expect(page.locator("#depth-contacts")).to_have_text(f"{depth['contacts']:,}")
            expect(page.locator("#depth-buyers")).to_have_text(f"{depth['buyers']:,.0f}")
            page.keyboard.press("ArrowRight")
        assert said == []
        assert asked == [(runs[name] / "report.html").as_uri()]
    finally:
        context.close()


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["demo", "coil2000", "customer"])
def test_axe_finds_nothing(browser, pages, name, scheme, width):
    # The page's policy lets no script in but its own: the checker comes past it.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        page.goto(pages[name].as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true; })")
        if name != "customer":
            page.locator("#list-table tbody button").first.click()
        found = Axe().run(page)
        assert not found.response["violations"], found.generate_report()
        assert len(found.response["passes"]) > 20
    finally:
        context.close()
