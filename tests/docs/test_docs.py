"""What the documentation shows can be done as shown."""

import doctest
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import typer

from propensity import cli
from propensity.data.simulate import simulate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[list[str]]:
    """The `propensity` commands that a page tells to type."""
    lines = "\n".join(blocks(page, "console", "bash", "sh", "shell", "")).replace("\\\n", " ").splitlines()
    typed = [line.strip().removeprefix("$ ") for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in typed if line.startswith("propensity ")]


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder with the demo's study, as a reader would have it."""
    for name in ("demo.yaml", "scorecards/demo.yaml", "wording/demo.yaml", "wording/demo_de.yaml"):
        place = tmp_path / "configs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((ROOT / "configs" / name).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_api_does_what_its_page_shows(workplace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = ROOT / "docs" / "api.md"
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks(page, "pycon")), {}, page.name, str(page), 0)
    assert len(examples.examples) > 25
    report: list[str] = []
    failed = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(examples, out=report.append).failed
    assert failed == 0, "".join(report)


def test_python_api_page_names_every_public_function():
    import propensity

    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in set(propensity.__all__) - {"__version__"}:
        assert f"pp.{name}(" in text, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_ones_that_exist(page):
    group = typer.main.get_command(cli.app)
    for name, *arguments in commands(page):
        if name == "--help":
            continue
        assert name in group.commands, f"{page.name}: propensity {name}"
        group.commands[name].make_context(name, list(arguments))  # refuses options that are none


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def as_typed(argument: str) -> str:
    """An argument as a reader of the demo would type it in place of the page's own."""
    if argument == "CUSTOMER":
        return str(pd.read_parquet("runs/demo/latest/prospects.parquet")["customer_id"].iloc[0])
    own = {"STUDY": "configs/demo.yaml", "2025-10-01": "2025-09-14"}
    return own.get(argument, argument).replace("models:/home-insurance@", "models:/demo@")


@pytest.mark.slow
def test_commands_of_the_readme_run(workplace, monkeypatch, capsys):
    """In the order of the page, on the demo's study and a small market."""
    simulate("data/demo", customers=1_500, seed=7)
    study = Path("configs/demo.yaml")
    all_models = "models: [single_indicator, scorecard, logistic, lightgbm, blend]"
    assert all_models in study.read_text()
    study.write_text(study.read_text().replace(all_models, "models: [scorecard]"))
    ran = set()
    for arguments in commands(ROOT / "README.md"):
        if arguments[0] in ("demo", "simulate"):
            continue
        monkeypatch.setattr("sys.argv", ["propensity", *map(as_typed, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        if arguments[0] == "promote":  # so small a market has too few buyers for the gate
            assert end.value.code == 1, said.err
            assert "Refused: version 1 as the first champion (buyers" in said.out
        else:
            assert not end.value.code, (arguments, said.err)
        ran.add(arguments[0])
    assert {"check", "train", "score", "explain", "outcomes", "promote", "backtest", "monitor"} <= ran
