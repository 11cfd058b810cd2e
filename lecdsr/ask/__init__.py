"""Answer the questions by rules or by a language model, and never pay for the same question twice."""
