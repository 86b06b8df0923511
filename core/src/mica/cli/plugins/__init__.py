"""The commands for those who write plugins and for those who install them: ``mica plugin …``."""
