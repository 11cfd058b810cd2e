"""Shared basics: errors, console, files, paths, table schemas, memory, the stage entry point."""
