"""Keys and tokens: ``mica crypto …``."""
