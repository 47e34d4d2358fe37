"""The repository keeps its own rules: help lines have rules, packages are bounded, versions pinned."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = sorted([*ROOT.glob("services/*/pyproject.toml"), *ROOT.glob("clients/*/pyproject.toml")])
PROJECTS.append(ROOT / "dev" / "pyproject.toml")
MAKEFILE = (ROOT / "Makefile").read_text()
SERVICES = {"embedder", "recommender", "gateway"}


def packages() -> set[str]:
    return {init.parent.name for project in PROJECTS for init in project.parent.glob("src/*/__init__.py")}


def name_of(requirement: str) -> str:
    """As PyPI compares names: lower case, runs of -_. as one dash, without extras and versions."""
    bare = re.split(r"[\[<>=!~;@ ]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", bare).lower()


def test_every_help_line_of_the_makefile_has_a_rule_that_does_something() -> None:
    helped = re.findall(r"^([a-zA-Z_-]+):.*## ", MAKEFILE, re.MULTILINE)
    phony = set(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE))
    assert {"help", "run", "test", "check", "lint", "types", "imports"} <= set(helped)
    assert len(helped) == len(set(helped))
    for target in helped:
        assert target in phony, f"{target} is not a file and must be .PHONY"
        rule = re.search(rf"^{target}:(?P<needs>.*?)##.*\n(?P<recipe>(?:\t.*\n?)*)", MAKEFILE, re.MULTILINE)
        assert rule is not None
        assert rule["recipe"].strip() or rule["needs"].strip(), f"make {target} does nothing"
        for need in rule["needs"].split():
            assert need.startswith("$(") or re.search(rf"^{need}:", MAKEFILE, re.MULTILINE), need


def test_every_target_that_is_meant_for_people_is_in_the_help() -> None:
    phony = set(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE))
    assert phony == set(re.findall(r"^([a-zA-Z_-]+):.*## ", MAKEFILE, re.MULTILINE))


def test_the_import_contracts_know_every_package() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(contracts["root_packages"]) == packages()
    named = {contract["name"]: contract for contract in contracts["contracts"]}
    assert set(named["A service never imports another"]["modules"]) == SERVICES
    [layers] = [c["layers"] for c in contracts["contracts"] if "servicekit | contract" in c.get("layers", [])]
    assert {name for layer in layers for name in layer.split(" | ")} == packages()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_every_dependency_is_pinned(project: Path) -> None:
    described = tomllib.loads(project.read_text())["project"]
    wanted = list(described.get("dependencies", []))
    wanted += [one for extra in described.get("optional-dependencies", {}).values() for one in extra]
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    missing = {name_of(one) for one in wanted} - pinned
    assert {name for name in missing if not name.startswith("foreword-")} == set()


def test_a_version_is_pinned_once_and_exactly() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip()]
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line
    names = [name_of(line) for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))


SOURCES = [
    path
    for project in PROJECTS
    for path in sorted(project.parent.glob("src/**/*.py"))
    if path.stat().st_size  # an empty __init__ has nothing to say
]


def test_no_module_is_named_for_nothing() -> None:
    empty_names = {"utils.py", "util.py", "helpers.py", "helper.py", "manager.py", "common.py", "misc.py"}
    assert [str(p.relative_to(ROOT)) for p in SOURCES if p.name in empty_names] == []


def test_servicekit_names_no_noun_of_the_domain() -> None:
    nouns = re.compile(r"\b(asset|buyer|catalogue|recommendation|embedding)s?\b", re.IGNORECASE)
    told = []
    for path in SOURCES:
        if "servicekit" in path.parts:
            code = ast.dump(ast.parse(path.read_text()))
            names = set(re.findall(r"(?:name|id|attr|arg)='([^']+)'", code))
            told += [f"{path.name}: {name}" for name in names if nouns.fullmatch(name)]
    assert told == []


def test_typed_packages_say_so() -> None:
    for project in PROJECTS:
        for init in project.parent.glob("src/*/__init__.py"):
            assert (init.parent / "py.typed").exists(), init.parent
