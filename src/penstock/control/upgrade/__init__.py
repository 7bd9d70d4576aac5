"""Upgrades: another installation of Penstock takes over from the one that runs.

``handover`` is the side of the one that runs, ``predecessor`` that of the new one; ``messages``
says what they tell each other, in which order.
"""
