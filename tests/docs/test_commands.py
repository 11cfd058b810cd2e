"""Every command in the README and the documentation is run, or commands.yaml says why not."""

import ast
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.config.load import load_block, load_pair
from lecdsr.download.settings import Settings as Download
from lecdsr.download.synthetic import generate
from tests.docs.blocks import commands, pages
from tests.repository import Copy, copy_repository

ROOT = Path(__file__).parents[2]
TABLE = YAML(typ="safe").load((ROOT / "tests/docs/commands.yaml").read_text(encoding="utf-8"))
SHOWN = {command: page for page in pages(ROOT) for command in commands(page.read_text(encoding="utf-8"))}


def test_blocks_by_hand():
    text = """
Text `lecdsr inline`.

```
make one    # a comment
# only a comment

dvc exp run -S 'a=[b]' \\
  -S 'c#d'
```

- In a list:

    ```bash
    lecdsr   two
    ```

```yaml
key: value
```
"""
    assert list(commands(text)) == ["make one", "dvc exp run -S 'a=[b]' -S 'c#d'", "lecdsr two"]


def test_every_command_is_in_the_table():
    unknown = {command: page.name for command, page in SHOWN.items() if command not in TABLE}
    assert not unknown, "add them to tests/docs/commands.yaml"
    assert len(SHOWN) > 40


def test_the_table_holds_nothing_that_no_page_shows():
    assert not set(TABLE) - set(SHOWN)


def test_every_entry_says_how_it_is_known_to_work():
    for command, entry in TABLE.items():
        assert set(entry) <= {"run", "as", "covered", "because"}, command
        assert ("run" in entry) != bool({"covered", "because"} & set(entry)), command
        assert "as" not in entry or "run" in entry, command


@pytest.mark.parametrize("named", sorted({entry["covered"] for entry in TABLE.values() if "covered" in entry}))
def test_the_test_that_covers_it_is_there(named):
    file, test = named.split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_items_in_commands_are_items_of_the_demo(tmp_path):
    """The service takes an ASIN or a whole title, and anything else ends the first try of a reader."""
    pair = load_pair("demo")
    generate(tmp_path, pair.domains, load_block("download", Download, "demo").synthetic)
    bought = {
        line.split(",")[0] for name in pair.domains for line in (tmp_path / f"{name}.csv").read_text().split("\n")
    }
    shown = [command for command in SHOWN if "demo" in command or "localhost:8094" in command]
    named = {asin for command in shown for asin in re.findall(r"\bB0[0-9A-Z]{8}\b", command)}
    bodies = [json.loads(words[-1]) for command in shown if "-d" in (words := shlex.split(command))]
    named |= {item for body in bodies for item in body.get("history", [])}
    assert named
    assert named <= bought


def overrides(command: str) -> list[tuple[str, list[str], object]]:
    """File, path of the key (``++`` before it where it may be unwritten) and value of every ``-S [FILE:]KEY=VALUE``."""
    words = shlex.split(command)
    found = []
    for before, word in pairwise(words):
        if before == "-S":
            place, value = word.split("=", 1)
            file, key = place.rsplit(":", 1) if ":" in place else ("params.yaml", place)
            found.append((file, key.split("."), YAML(typ="safe").load(value)))
    return found


def test_overrides_by_hand():
    command = "X='a b' dvc exp run -S 'active=[a, b]' -S 'pairs/demo.yaml:train.sasrec.width=3' prompts@a"
    assert overrides(command) == [
        ("params.yaml", ["active"], ["a", "b"]),
        ("pairs/demo.yaml", ["train", "sasrec", "width"], 3),
    ]


#: The extension that the settings of a command belong to.
EXTENSIONS = {
    "fism": ("model", "fism.py", "lecdsr/models"),
    "hashing": ("encoder", "hashing.py", "lecdsr/embed"),
    "ask.provider=command": ("provider", "command.py", "lecdsr/ask"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in TABLE if "dvc exp run" in command])
def test_the_settings_of_an_experiment_are_settings(command, tmp_path):
    copy_repository(tmp_path)
    repository = Copy(tmp_path, tmp_path / "vectors")
    for word, (name, file, folder) in EXTENSIONS.items():
        if word in command:
            repository.extend(name, file, f"{folder}/{file}")
    assert overrides(command)
    for file, path, value in overrides(command):
        settings = YAML(typ="safe").load((tmp_path / file).read_text(encoding="utf-8"))
        unwritten = path[0].startswith("++")
        block, keys = settings, [path[0].removeprefix("++"), *path[1:]]
        for key in keys[:-1]:
            block = block.setdefault(key, {}) if unwritten else block[key]
        assert unwritten or keys[-1] in block, f"{file} has no {'.'.join(keys)}: DVC wants ++"
        block[keys[-1]] = value
        with open(tmp_path / file, "w", encoding="utf-8") as written:
            YAML(typ="safe").dump(settings, written)
    extended = any(word in command for word in EXTENSIONS)  # the code of the copy is another then
    checked = repository.run("lecdsr", "check") if extended else repository.lecdsr("check")
    assert "all settings are valid" in checked


def test_they_run_and_say_what_they_should(copy: Copy):
    copy.init()
    copy.commit("built")
    wrong = []
    for command, entry in TABLE.items():
        if "run" in entry:
            try:
                shown = copy.run("bash", "-o", "pipefail", "-c", entry.get("as", command))
                assert str(entry["run"]) in shown, shown
            except AssertionError as error:
                wrong.append(f"{command}\n{str(error)[-800:]}")
    assert not wrong, "\n\n".join(wrong)
