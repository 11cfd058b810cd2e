"""Printed text is the given text, without markup."""

from lecdsr.core.console import say


def test_a_line_is_printed_as_it_is(capsys):
    for text in ("ends in \\", "[red]no markup[/red]", "[/]", "plain", "\\[x]"):
        say(text)
        assert capsys.readouterr().out == text + "\n"
