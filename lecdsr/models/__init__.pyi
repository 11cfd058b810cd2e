from typing import Any

from lecdsr.api.model import Model

class _Estimator(Model):
    def __init__(self, **settings: Any) -> None: ...

def __getattr__(name: str) -> type[_Estimator]: ...
