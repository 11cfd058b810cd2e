"""Generator of a synthetic pair in the raw layout of the Amazon 2018 release, including its typical faults.

``world`` distributes items over themes and styles, ``events`` draws the interactions of users, ``texts`` composes
titles and descriptions from the vocabulary in ``words``, ``metadata`` formats them as JSON lines with the faults of
real files, ``ids`` makes ids, and ``write`` writes the files.
"""

from lecdsr.download.synthetic.settings import Settings
from lecdsr.download.synthetic.write import generate

__all__ = ["Settings", "generate"]
