"""The configuration: typed, strict, in the format of zot."""

from zot.config.document import Problem
from zot.config.load import ConfigError, default_config, load
from zot.config.model import Config

__all__ = ["Config", "ConfigError", "Problem", "default_config", "load"]
