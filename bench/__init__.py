"""How fast the planner answers, against the least work that could be done for the same answer, and against its rival.

Only servers measured in one run, in turns, on the same core can be compared; a figure by itself says nothing.
"""
