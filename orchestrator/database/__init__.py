"""How a study's database is reached: under which address, and with how much patience.

Others use `address.address` for URLs, and `patient.PatientStorage` for a storage that waits.
"""
