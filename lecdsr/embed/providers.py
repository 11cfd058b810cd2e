"""Choose the encoder that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lecdsr.embed.settings import Settings

if TYPE_CHECKING:
    from lecdsr.embed.cached import CachedEncoder


def encoder_of(settings: Settings, environment: Mapping[str, str]) -> CachedEncoder:
    """The encoder that the settings name; address, key and caps of a server are in the environment."""
    if settings.provider == "openai":
        from lecdsr.embed.server import ServerEncoder

        return ServerEncoder(settings.encoder, settings.batch_size, settings.width, environment)
    from lecdsr.embed.encoder import Encoder

    return Encoder(settings.encoder, settings.batch_size, settings.precision, settings.width)
