"""One study as it is kept: its database, lock, settings file, parent, and which trial is best.

Others use `storage.open_study` to write; `find.read_study` and `record.StudyRecord` to look;
`study_file`, `lock.StudyLock`, `parent` and `ranking`.
"""
