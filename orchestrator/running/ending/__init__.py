"""Ends of trials: what follows of an attempt's, telling the study, and what others told it."""
