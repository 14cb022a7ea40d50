"""Inert readers of file formats: they parse bytes, never import a framework, never unpickle, never extract to disk."""
