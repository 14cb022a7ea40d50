"""What the gate is counted on: files that run something when loaded, and files of real trainers."""
