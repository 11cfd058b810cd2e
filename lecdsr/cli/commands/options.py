"""Options that several commands share, and their choices."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class Split(enum.StrEnum):
    """Held-out splits of a pair."""

    valid = "valid"
    test = "test"


class Device(enum.StrEnum):
    """Where a model computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Domains(enum.StrEnum):
    """Choice of one domain, or both."""

    x = "x"
    y = "y"
    both = "both"


PairOption = Annotated[str, typer.Option(help="Name of the domain pair, as in pairs/NAME.yaml.")]
UserOption = Annotated[str | None, typer.Option(help="Reviewer id of a user.")]
HistoryOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ITEMS",
        help="History of an anonymous user, oldest first: ASINs separated by commas, or a title; ITEM@YYYY-MM-DD "
        "gives an item its own day. May be repeated.",
    ),
]
DayOption = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of --history items without their own; default today.")
]
ModelOption = Annotated[str | None, typer.Option(help="Trained model; default the best of the pair on validation.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute; `auto` takes a GPU if there is one.")]
