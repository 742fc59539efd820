"""Where attempts run. The runner sees `base.Launcher` alone; `open.open_launcher` makes one."""
