"""What went wrong with one measurement, in words for the person who reads the report."""


class MeasurementError(Exception):
    """What was measured is not what was meant."""


class StartError(MeasurementError):
    """A process ended, or did not listen in time. The message carries its last output."""


class LoadError(MeasurementError):
    """Requests failed or streams ended."""
