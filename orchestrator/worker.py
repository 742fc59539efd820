"""Where the training half was until version 0.2.0, for programs that still look for it here."""

raise ImportError(
    "a trained model is loaded otherwise since version 0.2.0: "
    "from worker.calls.show import load_model"
)
