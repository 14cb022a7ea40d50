"""GMM-v2: generated mixtures of Gaussians as training data, with a state that training resumes from exactly."""
