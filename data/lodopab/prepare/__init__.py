"""Making data in LoDoPaB-CT's layout, from a user's CT scans or of phantoms.

Others use `commands.register`; readers use `phantoms.LODOPAB_PHANTOMS` and
`settings.LodopabPhantomSettings`.
"""
