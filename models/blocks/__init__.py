"""What families are built from: networks, losses, metrics, pictures, noise and evaluations.

A folder for each way to a model, and the few files that several of them need. Families from outside
the project may build on all of it.
"""
