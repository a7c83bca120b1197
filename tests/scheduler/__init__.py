"""Our luigid and its scheduler."""
