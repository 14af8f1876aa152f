"""Crashes: what a registry acknowledged is looked for after all its processes were killed, or its disk cut off."""
