"""Matrix of resumes: set-ups by framework and kind of state, each trained, killed, resumed and rehearsed for real."""
