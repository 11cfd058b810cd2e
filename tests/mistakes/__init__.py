"""Mistakes that users make, each provoked by a function, in the order of tests/snapshots/messages.txt."""

from importlib import import_module

from tests.mistakes.registry import CASES

__all__ = ["CASES"]

for part in ("settings", "data", "language_models", "training", "recommending", "service", "interface"):
    import_module(f"tests.mistakes.{part}")
