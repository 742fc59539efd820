"""What `predict` is made of: what is found in files, run through models, written and recorded."""
