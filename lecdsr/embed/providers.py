"""Create the encoder named in the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lecdsr.embed.joined import JoinedEncoder
from lecdsr.embed.settings import Settings

if TYPE_CHECKING:
    from lecdsr.embed.base import CachedEncoder


def encoder_of(settings: Settings, environment: Mapping[str, str]) -> JoinedEncoder:
    """Create the encoders named in the settings; address, key and caps of a server come from the environment."""
    names = [settings.encoder] if isinstance(settings.encoder, str) else settings.encoder
    return JoinedEncoder([_encoder(name, settings, environment) for name in names])


def _encoder(name: str, settings: Settings, environment: Mapping[str, str]) -> CachedEncoder:
    if settings.provider == "openai":
        from lecdsr.embed.server_encoder import ServerEncoder

        return ServerEncoder(name, settings.batch_size, settings.width, environment)
    from lecdsr.embed.local_encoder import LocalEncoder

    return LocalEncoder(name, settings.batch_size, settings.precision, settings.width)
