"""Review: what a change did to settings, metrics and training, on one page of Markdown."""
