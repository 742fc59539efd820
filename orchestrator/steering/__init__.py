"""What people ask of a study from other shells: posted, taken up once, answered, recorded."""
