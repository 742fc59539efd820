"""The training half: one attempt at a trial, from its plan to its events, in processes with torch.

It sees protocol, data and models, and never Optuna. The deciding half reaches it by two doors
only: `worker.processes.forkserver`, which it starts, and the functions in `worker.calls`. People
load a trained model by `worker.calls.show.load_model`.
"""
