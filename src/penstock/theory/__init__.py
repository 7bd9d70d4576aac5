"""Closed forms of queueing theory: what a simulation or a live system must come near to.

Plain mathematics, importing nothing of Penstock. Rates are events per unit of time and durations
are in that same unit, whichever it is: per second and seconds, say. ``cv2`` is a squared
coefficient of variation, variance / mean²: 0 is constant, 1 is exponential.

A system that offers more work than it can do has no steady state; asking for it raises
``Unstable``. Other arguments without meaning raise ValueError.
"""

from penstock.theory.balancing import (
    jsq_finite,
    jsq_mean_field,
    jsq_mean_field_tail,
    jsq_two,
    random_split,
    round_robin_split,
)
from penstock.theory.birth_death import marginal_costs
from penstock.theory.many_servers import (
    allen_cunneen,
    erlang_b,
    erlang_c,
    mmc,
    mmc_wait_exceeds,
    mmck,
)
from penstock.theory.moments import BalancedH2, h2_balanced
from penstock.theory.one_server import (
    erlang_m1,
    md1,
    mg1,
    mm1,
    mm1_response_quantile,
    processor_sharing,
    processor_sharing_given,
)
from penstock.theory.staffing import fewest_servers, square_root_staffing, staffing_factor
from penstock.theory.steady import Steady, Unstable

__all__ = [
    "BalancedH2",
    "Steady",
    "Unstable",
    "allen_cunneen",
    "erlang_b",
    "erlang_c",
    "erlang_m1",
    "fewest_servers",
    "h2_balanced",
    "jsq_finite",
    "jsq_mean_field",
    "jsq_mean_field_tail",
    "jsq_two",
    "marginal_costs",
    "md1",
    "mg1",
    "mm1",
    "mm1_response_quantile",
    "mmc",
    "mmc_wait_exceeds",
    "mmck",
    "processor_sharing",
    "processor_sharing_given",
    "random_split",
    "round_robin_split",
    "square_root_staffing",
    "staffing_factor",
]
