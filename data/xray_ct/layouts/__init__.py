"""How pairs lie on disk: a module a layout, and finding out which one a folder is in.

Others use `find.find_cases`, `find.read_note`, `find.FORMATS` and the protocol `format.Format`.
"""
