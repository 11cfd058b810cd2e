"""A small language model on this machine, behind the OpenAI API."""
