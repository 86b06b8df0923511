"""The commands of ``mica ca``. Each module is imported when its command is called."""
