"""Commands that create and read certificate files. Each is imported when it is called."""
