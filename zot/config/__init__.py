"""The configuration: typed, strict, in the format of zot."""

from zot.config.load import Checked, check, default_config, load
from zot.config.model import Config
from zot.config.problems import ConfigError, Problem

__all__ = ["Checked", "Config", "ConfigError", "Problem", "check", "default_config", "load"]
