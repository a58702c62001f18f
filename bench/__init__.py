"""How fast the planner answers, against the least work that could be done for the same answer, and against its rivals.

Only servers measured in one run, in turns, on the same core can be compared; a figure by itself says nothing. What is
measured, and how it is read: docs/performance.md.

`works.py` says what is asked and `rivals` who is asked; `run.py` fills a database of `databases.py` with `data.py`,
starts a `server.py` for each rival and asks by `load.py`, in turns. `feed.py`, `signin.py` and `subscribers.py` measure
what is no question and answer. `report.py` makes the tables, `picture.py` the pictures, `targets.py` holds what is
promised. `profile.py`, `deep_pages.py` and `simulation.py` are commands of their own.
"""
