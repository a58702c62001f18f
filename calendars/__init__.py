"""Every list of events is a calendar: its text (ical.py) and its address (links.py)."""
