"""The service as a whole, from outside."""

from mica.testing.service import Service


def test_a_served_ca_is_well(service: Service) -> None:
    connection = service.connect()
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b'{"status":"ok"}\n')
    connection.close()
