"""Prompts: one question for every user profile and item description wanted."""

from lecdsr.prompts.questions import Questions, write_questions
from lecdsr.prompts.settings import Settings

__all__ = ["Questions", "Settings", "write_questions"]
