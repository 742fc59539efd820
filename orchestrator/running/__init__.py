"""The search itself: slot, ask, plan, launch, follow, judge, settle.

Others open a `session.Session` and hand it with a source of trials to `search.run_trials`.
"""
