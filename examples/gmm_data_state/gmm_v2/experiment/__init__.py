"""One experiment in one folder: its checkpoints, its data state, and how it is run and resumed."""
