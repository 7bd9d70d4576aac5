"""IMAGINE. A discrete-event simulator that drives the decision core's own objects."""
