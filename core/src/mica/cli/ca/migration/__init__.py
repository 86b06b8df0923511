"""``mica ca import-step``: from the files of a step-ca to a ``ca.toml`` that says the same."""
