"""The benchmark: this registry and its peers, measured in one run, round by round in turn."""
