"""A balancer that forecasts its load shows it to operators and to Prometheus."""

from urllib.request import urlopen

from click.testing import CliRunner

from penstock.cli.main import penstock_command
from tests.harness.http_endpoint import HttpEndpoint
from tests.scenario.conftest import Serve


def test_an_operator_asks_what_is_expected(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve(
        {"pools": {"main": {"endpoints": [endpoint.name], "forecast": "on"}}, "workers": 1}
    )
    given = ["ctl", "--admin", balancer.admin_url, "forecast"]
    told = CliRunner().invoke(penstock_command, given, prog_name="penstock")
    assert told.output == "main: too little was seen so far\n"
    with urlopen(f"{balancer.admin_url}/metrics") as response:
        metrics = response.read().decode()
    assert "# TYPE penstock_forecast_requests_per_second gauge" in metrics
