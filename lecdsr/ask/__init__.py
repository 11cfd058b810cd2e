"""Stage ``ask``: answer the questions by rules or by a language model, and pay for each question once."""
