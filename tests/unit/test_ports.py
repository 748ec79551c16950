import socket

from holdfast.ports import free_port


def test_ports_are_distinct_and_below_those_of_connections() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < 32_768


def test_a_port_that_somebody_listens_at_is_left_out() -> None:
    taken = free_port() + 1
    with socket.create_server(("127.0.0.1", taken)):
        assert free_port() != taken
