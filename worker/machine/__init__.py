"""What a process takes of its machine: threads, memory, networks."""
