"""Definitions of the commands: their options and help. The work is done elsewhere, imported when a command runs."""
