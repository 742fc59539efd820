"""The families: what each trains, on which data, against which loss.

A file is a family and its name that of the family. Nobody imports these but `models.registry`.
"""
