"""Saves two networks in turn to one path, forever, for tests that kill it. Arguments: path, and the two files."""

import sys

from gwucnn import GWUNetwork

if __name__ == "__main__":
    path, *files = sys.argv[1:]
    networks = [GWUNetwork.load(file) for file in files]
    print("ready", flush=True)
    while True:
        for network in networks:
            network.save(path)
