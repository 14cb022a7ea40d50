"""Hooks into training frameworks, on top of store and plugins: save, resume from what verifies, survive SIGTERM."""
