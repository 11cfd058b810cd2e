"""What every room needs: errors, settings, artefact paths, tables, files, console."""
