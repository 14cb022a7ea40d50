"""Hooks into training frameworks, above store and plugins: save, resume from what verifies, survive SIGTERM."""
