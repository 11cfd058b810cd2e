"""A synthetic pair of domains in the raw layout of the Amazon 2018 release, oddities included.

``world`` lays out items over themes and styles, ``events`` lets users wander through them,
``texts`` says in words what an item is, ``metadata`` puts that into lines as faulty as real ones,
``ids`` makes ids, ``write`` the files. ``words`` is the vocabulary.
"""

from lecdsr.download.synthetic.settings import Settings
from lecdsr.download.synthetic.write import generate

__all__ = ["Settings", "generate"]
