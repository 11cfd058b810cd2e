"""Serve a small language model on this machine through the OpenAI API."""
