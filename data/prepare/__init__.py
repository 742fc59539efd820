"""What the commands that make data sets share.

Formats use `fields` for their settings, `options.add_command` to make options of them,
`phantoms.Phantoms`, `destination` to write a data set whole or not at all, `shares` and
`stand_ins` to split it, and `console.Display` to show how far it is.
"""
