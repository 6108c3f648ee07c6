"""The check with which both importers begin."""

from gwucnn.common import NotBuiltError
from gwucnn.gwu_network import GWUNetwork

__all__ = ["require_built"]


def require_built(caller: str, network: GWUNetwork) -> None:
    """Raise NotBuiltError, in the name of the function `caller`, if the network has no weights yet."""
    try:
        network.count_params()
    except NotBuiltError as error:
        raise NotBuiltError(str(error).replace("count_params", caller)) from None
