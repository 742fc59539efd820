"""Making data in the brain-MRI layout, from a user's volumes or of phantoms.

Others use `commands.register`; readers use `phantoms.BRAIN_PHANTOMS` and
`settings.BrainPhantomSettings`.
"""
