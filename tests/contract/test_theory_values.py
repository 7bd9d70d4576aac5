"""Every closed form gives the values that were computed for it independently, to their digits."""

import pytest

from penstock import theory

MEANS = {0.5: 2.0, 0.8: 5.0, 0.9: 10.0, 0.95: 20.0, 0.99: 100.0}
CV2 = (0.0, 0.5, 1.0, 4.0, 10.0, 20.0)
MG1 = {0.8: (3, 4, 5, 11, 23, 43), 0.9: (5.5, 7.75, 10, 23.5, 50.5, 95.5)}
MMC = [
    (2, 0.5, 0.3333333333, 0.3333333333),
    (2, 0.8, 0.7111111111, 1.7777777778),
    (4, 0.8, 0.5964324718, 0.7455405897),
    (10, 0.8, 0.4091801508, 0.2045900754),
    (10, 0.9, 0.6687315241, 0.6687315241),
    (10, 0.95, 0.8255855781, 1.6511711563),
    (50, 0.9, 0.3638644672, 0.0727728934),
    (100, 0.95, 0.5064568539, 0.1012913708),
]
MMCK = [
    (0.8, 1, 5, 0.08881950, 1.86833203, 1.56306521),
    (1.2, 1, 10, 0.19258650, 6.71070868, 5.92613784),
    (3.2, 4, 10, 0.03574072, 4.23983863, 0.37405945),
    (9, 10, 20, 0.02951006, 11.03966107, 0.26392759),
]
MEAN_FIELD = {
    0.5: (1.265686, 1.125244, 1.031250),
    0.8: (1.947363, 1.580886, 1.328918),
    0.9: (2.614057, 2.027856, 1.632881),
    0.95: (3.383046, 2.535133, 1.988772),
    0.99: (5.431997, 3.857847, 2.901683),
}
STAFFING = {
    0.5: (0.50605, 106),
    0.2: (1.06152, 111),
    0.1: (1.42019, 115),
    0.05: (1.73984, 119),
    0.01: (2.37489, 125),
}


@pytest.mark.parametrize(("load", "mean"), MEANS.items())
def test_mm1(load: float, mean: float) -> None:
    assert theory.mm1(load, 1.0).response == pytest.approx(mean, rel=1e-12)
    p99 = theory.mm1_response_quantile(load, 1.0, 0.99)
    assert p99 == pytest.approx(4.60517 * mean, rel=1e-6)


@pytest.mark.parametrize("servers", [1, 2, 50])
@pytest.mark.parametrize(("load", "mean"), MEANS.items())
def test_random_split_does_not_depend_on_the_number_of_servers(
    servers: int, load: float, mean: float
) -> None:
    split = theory.random_split(load, servers=servers)
    assert split.response == pytest.approx(mean, rel=1e-12)
    assert split.present == pytest.approx(servers * load * mean, rel=1e-12)


@pytest.mark.parametrize(
    ("load", "cv2", "response"),
    [(load, cv2, w) for load, row in MG1.items() for cv2, w in zip(CV2, row, strict=True)],
)
def test_mg1(load: float, cv2: float, response: float) -> None:
    assert theory.mg1(load, 1.0, cv2).response == pytest.approx(response, rel=1e-12)


@pytest.mark.parametrize(("load", "wait"), [(0.5, 0.5), (0.8, 2.0), (0.9, 4.5)])
def test_md1(load: float, wait: float) -> None:
    assert theory.md1(load, 1.0).wait == pytest.approx(wait, rel=1e-12)


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("work", [0.1, 1.0, 7.0])
def test_processor_sharing(load: float, work: float) -> None:
    assert theory.processor_sharing(load, 1.0).response == pytest.approx(1 / (1 - load))
    given = theory.processor_sharing_given(load, 1.0, work)
    assert given == pytest.approx(work / (1 - load))


@pytest.mark.parametrize(("cv2", "p1"), [(4.0, 0.8872983346), (10.0, 0.9522670169)])
def test_h2_with_balanced_means(cv2: float, p1: float) -> None:
    law = theory.h2_balanced(1.0, cv2)
    assert law.p1 == pytest.approx(p1, abs=5e-11)
    assert (law.rate1, law.rate2) == pytest.approx((2 * p1, 2 * (1 - p1)), rel=1e-8)


@pytest.mark.parametrize(("load", "response"), [(0.5, 1.426321), (0.8, 2.955737), (0.9, 5.474913)])
def test_the_shorter_of_two_queues(load: float, response: float) -> None:
    assert theory.jsq_two(load) == pytest.approx(response, abs=5e-7)


@pytest.mark.parametrize(("servers", "load", "waits", "wait"), MMC)
def test_mmc(servers: int, load: float, waits: float, wait: float) -> None:
    offered = servers * load
    assert theory.erlang_c(offered, servers) == pytest.approx(waits, abs=5e-11)
    assert theory.mmc(offered, 1.0, servers).wait == pytest.approx(wait, abs=5e-11)


@pytest.mark.parametrize(("rate", "servers", "capacity", "blocked", "present", "wait"), MMCK)
def test_mmck(
    rate: float, servers: int, capacity: int, blocked: float, present: float, wait: float
) -> None:
    steady = theory.mmck(rate, 1.0, servers, capacity)
    assert steady.blocked == pytest.approx(blocked, abs=5e-9)
    assert steady.present == pytest.approx(present, abs=5e-9)
    assert steady.wait == pytest.approx(wait, abs=5e-9)


@pytest.mark.parametrize(
    ("load", "choices", "response"),
    [(load, d, w) for load, row in MEAN_FIELD.items() for d, w in zip((2, 3, 5), row, strict=True)],
)
def test_the_shortest_of_d_queues_in_the_mean_field(
    load: float, choices: int, response: float
) -> None:
    assert theory.jsq_mean_field(load, choices) == pytest.approx(response, abs=5e-7)


@pytest.mark.parametrize(("waiting", "beta", "servers"), [(a, *v) for a, v in STAFFING.items()])
def test_staffing_a_hundred_erlangs(waiting: float, beta: float, servers: int) -> None:
    assert theory.staffing_factor(waiting) == pytest.approx(beta, abs=5.1e-6)
    assert theory.fewest_servers(100.0, waiting) == servers


@pytest.mark.parametrize(
    ("servers", "load", "arrival_cv2", "service_cv2", "wait"),
    [(10, 0.9, 1.0, 4.0, 1.67182881), (100, 0.95, 1.0, 10.0, 0.55710254)],
)
def test_allen_cunneen(
    servers: int, load: float, arrival_cv2: float, service_cv2: float, wait: float
) -> None:
    steady = theory.allen_cunneen(
        servers * load, 1.0, servers, arrival_cv2=arrival_cv2, service_cv2=service_cv2
    )
    assert steady.wait == pytest.approx(wait, abs=5e-9)
