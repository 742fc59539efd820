"""A paragraph for a paper, whose every number is the study's."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from orchestrator import words
from orchestrator.reporting.ledger_text import whole
from orchestrator.showing.asked import goal, inputs, kind, space
from orchestrator.showing.look import Look
from protocol.messages import Ending

_SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator (Bergstra et al., 2011)",
    "random": "random search",
    "cmaes": "CMA-ES",
    "gp": "Gaussian-process optimisation",
    "grid": "a grid",
    "qmc": "a quasi-random sequence",
}


def methods(look: Look) -> str:
    """What was done, in a few sentences; what is not known is left out."""
    return " ".join(sentence for sentence in _sentences(look) if sentence)


def _sentences(look: Look) -> Iterator[str]:
    yield _search(look)
    yield _space(look)
    yield _trials(look)
    yield _training(look)
    yield _hours(look)
    yield _best(look)
    yield _confirmed(look)
    yield _software(look)
    yield _data(look)


def _search(look: Look) -> str:
    name = str(look.section("sampler").get("kind", ""))
    by = f" with {_SAMPLERS[name]}" if name in _SAMPLERS else ""
    seed = look.settings.get("seed")
    of = f" (seed {seed})" if seed is not None else ""
    family = look.settings.get("family", "the model")
    return (
        f"Hyperparameters of {family} were searched for {goal(look)} on the validation "
        f"split{by}, as implemented in Optuna {version('optuna')}{of}."
    )


def _space(look: Look) -> str:
    known = space(look)
    if not known:
        return ""
    parts = [
        f"{key} ({values}{f'; while {condition}' if condition else ''})"
        for key, (values, condition) in known.items()
    ]
    return f"The search covered {words.counted(len(known), 'key')}: {'; '.join(parts)}."


def _trials(look: Look) -> str:
    counts, pruner = look.record.counts, str(look.section("pruner").get("kind", "none"))
    diverged = sum(trial.ending == Ending.NONFINITE for trial in look.record.trials)
    ended = counts["complete"] + counts["pruned"] + counts["failed"]
    parts = [f"{counts['complete']} were trained to their end"]
    if counts["pruned"] - diverged:
        by = "" if pruner == "none" else f", most of them by the {kind(look, 'pruner')} pruner"
        parts.append(f"{counts['pruned'] - diverged} were stopped early{by}")
    if diverged:
        parts.append(f"{diverged} diverged")
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    return f"Of {words.counted(ended, 'trial')}, {', '.join(parts)}."


def _training(look: Look) -> str:
    plan = look.plan
    if plan is None:
        return ""
    folds = f" in {plan.folds}-fold cross-validation" if plan.folds > 1 else ""
    devices = words.counted(len(set(plan.devices)), "device")
    gpu = plan.surroundings.get("gpu") if plan.devices[0] != "cpu" else ""
    on = f" ({gpu})" if gpu else " (CPU)" if plan.devices[0] == "cpu" else ""
    epochs = plan.recipe.epochs
    most = f" for at most {words.counted(epochs, 'epoch')}" if epochs is not None else ""
    return f"A trial trained{most}{folds} on {devices}{on}, and its best epoch counted."


def _hours(look: Look) -> str:
    total = look.ledger.total
    return f"All of it took {whole(total)}." if total.seconds else ""


def _best(look: Look) -> str:
    best = look.best
    if best is None:
        return "No trial was completed."
    return (
        f"The best was trial {best.number} with {look.metric} {words.number(best.value)}"
        f"{f' at epoch {best.best_epoch}' if best.best_epoch else ''} "
        f"({words.settings(best.params)})."
    )


def _confirmed(look: Look) -> str:
    confirmation = look.confirmation
    winner = confirmation.winner if confirmation else None
    if confirmation is None or winner is None:
        return (
            "This value is that of one training, chosen as the best of many, and was not confirmed "
            "with fresh seeds."
            if look.best is not None
            else ""
        )
    interval = (
        f" ({100 * confirmation.level:.0f} % Student interval {words.number(winner.low)} to "
        f"{words.number(winner.high)})"
        if winner.low is not None
        else ""
    )
    runs = words.counted(winner.count("complete"), "fresh seed")
    several = words.counted(len(confirmation.trials), "best trial")
    return (
        f"The {several} trained again with fresh seeds gave the first place to trial "
        f"{winner.trial}, with a mean {confirmation.metric} of {words.number(winner.mean)} over "
        f"{runs}{interval}."
    )


def _software(look: Look) -> str:
    known = look.plan.surroundings if look.plan else {}
    parts = [f"{name} {known[name]}" for name in ("torch", "python", "cuda") if name in known]
    commit = f", commit {known['commit'][:12]}" if known.get("commit") else ""
    return f"Software: tomostudy{commit}{''.join(f', {part}' for part in parts)}."


def _data(look: Look) -> str:
    place = inputs(look).get("data.root")
    if place is None:
        return ""
    files = words.counted(int(place["files"]), "file")
    return (
        f"Data: {files}, {place['bytes']} bytes, fingerprint {str(place['fingerprint'])[:16]} "
        "(the search refuses to go on with others)."
    )
