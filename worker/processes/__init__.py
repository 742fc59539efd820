"""The processes of one attempt: the fork server, its leader, its ranks.

Started from outside as `python -m worker.processes.forkserver`; nothing else is for others.
"""
