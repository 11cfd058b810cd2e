from lecdsr import models as models
from lecdsr.api.dataset import Dataset as Dataset
from lecdsr.api.dataset import load_pair as load_pair
from lecdsr.api.evaluation import compare as compare
from lecdsr.api.evaluation import evaluate as evaluate
from lecdsr.api.model import Model as Model
from lecdsr.api.model import load as load

__version__: str
__all__ = ["Dataset", "Model", "compare", "evaluate", "load", "load_pair", "models"]
