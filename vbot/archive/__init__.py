"""The reward library on disk: what was tried, what it gave, and what people made of it.

``entries`` says what an entry is and what evidence makes of it, ``library`` reads and writes the files, ``report``
keeps the journal in ``REPORT.md``, ``finish`` is what a training does with all of them at its end.
"""
