"""Laws of the data plane, on a stage without an operating system (``tests.harness.fake``)."""
