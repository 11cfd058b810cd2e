"""The dependencies can be installed with every Python 3.11, not only with the one that runs the tests."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST = "3.11.0"


def test_no_package_wants_a_later_patch_level():
    names = re.findall(r"^([\w.-]+)==", CONSTRAINTS.read_text(), flags=re.MULTILINE)
    wanted = {}
    for name in names:
        try:
            wanted[name] = metadata(name)["Requires-Python"] or ""
        except PackageNotFoundError:
            continue  # an extra that is not installed here
    assert len(wanted) > 50
    refused = {name: python for name, python in wanted.items() if not SpecifierSet(python).contains(OLDEST)}
    assert not refused


def test_dependencies_are_ranges_that_hold_the_tested_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", CONSTRAINTS.read_text(), flags=re.MULTILINE))
    tested = {canonicalize_name(name): version for name, version in tested.items()}
    assert SpecifierSet(project["requires-python"]).contains(OLDEST)
    for line in project["dependencies"]:
        wanted = Requirement(line)
        assert {rule.operator for rule in wanted.specifier} == {">=", "<"}, line
        assert wanted.specifier.contains(tested[canonicalize_name(wanted.name)]), line


@pytest.mark.parametrize(("minor", "accepted"), [(10, False), (11, True), (13, True), (14, False)])
def test_make_accepts_the_pythons_that_were_tried(minor, accepted):
    (check,) = re.findall(r"@\$\(PYTHON\) -c '(.*?)' \|\|", (ROOT / "Makefile").read_text())
    with pytest.raises(SystemExit) as ended:
        exec(check.replace("sys.version_info[:2]", repr((3, minor))))
    assert (not ended.value.code) == accepted
