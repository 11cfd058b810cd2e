"""Profiles of drawn users: one version each, as one text without phrases."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lecdsr.data.profiles import Profiles


def one_profile_each(vectors: Tensor) -> Profiles:
    """Build a profile for every user, written before their first interaction.

    Args:
        vectors: ``[U, D]``, one a user.
    """
    count = len(vectors)
    whole, lists = torch.arange(count + 1), torch.full((count + 1, 2, 1), count)
    return Profiles(np.arange(count), np.full(count, -1), F.pad(vectors, (0, 0, 0, 1)), whole, lists)
