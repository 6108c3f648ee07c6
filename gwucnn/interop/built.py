"""The check that both importers begin with."""

from gwucnn.common import NotBuiltError
from gwucnn.gwu_network import GWUNetwork

__all__ = ["need_built"]


def need_built(who: str, network: GWUNetwork) -> None:
    """Raise NotBuiltError, in the name of the function `who`, if the network has no weights yet."""
    try:
        network.count_params()
    except NotBuiltError as error:
        raise NotBuiltError(str(error).replace("count_params", who)) from None
