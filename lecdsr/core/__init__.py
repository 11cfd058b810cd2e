"""What every package needs: errors, console, files, paths, table schemas, memory, the stage entry point."""
