"""Penstock beside nginx, HAProxy and Envoy, measured in one run: ``python -m benchmarks``.

``balancers/`` starts what is measured, ``backends/`` what stands behind, ``load/`` what calls;
``scenarios/`` says what a measurement is; ``rounds`` runs them in turn; ``report`` prints tables.
"""
