"""Generated pages: the report of a pair, the results page, model cards, data cards, reviews of pull requests."""
