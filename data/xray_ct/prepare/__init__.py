"""Making X-ray/CT pairs, from a user's CT scans or of phantoms.

Others use `commands.register`; readers use `phantoms.XRAY_CT_PHANTOMS`.
"""
