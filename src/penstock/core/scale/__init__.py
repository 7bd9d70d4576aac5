"""From a load to a number of endpoints: pure rules, driven by the supervisor and the simulator."""
