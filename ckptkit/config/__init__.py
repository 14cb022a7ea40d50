"""Configuration: ``ckptkit.yaml``, found upward from a folder, with defaults and rules for runs by name."""

from ckptkit.config.discovery import FILE_NAME, find_config, load_config
from ckptkit.config.settings import Config, Mirror, RunConfig

__all__ = ["FILE_NAME", "Config", "Mirror", "RunConfig", "find_config", "load_config"]
