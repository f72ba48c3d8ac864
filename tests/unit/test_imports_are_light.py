"""`import propensity` and `--help` answer at once: nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest

HEAVY = {
    "numpy", "pandas", "mlflow", "shap", "lightgbm", "sklearn", "duckdb", "ibis", "numba", "matplotlib", "pyarrow",
    "scipy", "pydantic", "sqlalchemy", "jinja2", "ruamel",
}  # fmt: skip

IMPORTED = "import sys; print('imported:', *sorted({name.partition('.')[0] for name in sys.modules}))"
RUN = f"""
import sys
sys.argv = ["propensity", *sys.argv[1:]]
try:
    from propensity.cli import main
    main()
finally:
    {IMPORTED}
"""


def imported_by(code: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported: ")[2].split())


def test_importing_the_package_is_light():
    assert not imported_by(f"import propensity; {IMPORTED}") & HEAVY


def test_names_of_the_package_are_known_without_importing_them():
    code = f"import propensity; assert set(dir(propensity)) >= {{'train', 'score', 'load_study'}}; {IMPORTED}"
    assert not imported_by(code) & HEAVY


COMMANDS = ["check", "features", "train", "score", "explain", "report", "track", "schema", "simulate", "demo"]


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_is_light(arguments):
    found = imported_by(RUN, *arguments)
    assert "typer" in found
    assert not found & (HEAVY - {"pydantic"})  # typer itself imports it where it is installed


def test_loading_a_study_needs_no_engine(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("stud: x\n")
    code = f"""
import sys, propensity
try:
    propensity.load_study({str(study)!r})
except Exception as error:
    assert type(error).__name__ == "ConfigError", error
{IMPORTED}
"""
    assert not imported_by(code) & (HEAVY - {"pydantic", "ruamel"})


def test_unknown_name_is_an_attribute_error():
    import propensity

    with pytest.raises(AttributeError, match="has no attribute 'trane'"):
        propensity.trane  # noqa: B018
