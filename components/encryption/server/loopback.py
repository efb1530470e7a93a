"""Whether an address is this machine's own: there plain HTTP ends, and counts are shown."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
