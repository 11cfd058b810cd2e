"""What the install asks for can be had by every Python 3.11, not only by the one that the tests run on."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
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
