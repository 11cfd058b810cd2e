"""Create the encoder named in the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lecdsr.embed.settings import Settings

if TYPE_CHECKING:
    from lecdsr.embed.base import CachedEncoder


def encoder_of(settings: Settings, environment: Mapping[str, str]) -> CachedEncoder:
    """Create the encoder named in the settings; address, key and caps of a server come from the environment."""
    if settings.provider == "openai":
        from lecdsr.embed.server_encoder import ServerEncoder

        return ServerEncoder(settings.encoder, settings.batch_size, settings.width, environment)
    from lecdsr.embed.local_encoder import LocalEncoder

    return LocalEncoder(settings.encoder, settings.batch_size, settings.precision, settings.width)
