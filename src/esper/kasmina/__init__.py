"""kasmina: seeds, the modules that grow inside a host network, and the slots that hold them."""

from esper.kasmina.blueprints import BLUEPRINTS, ConvLadderSeed, ConvLightSeed, Seed, make_seed
from esper.kasmina.slot import SeedObserver, SeedSlot, Stage

__all__ = [
    "BLUEPRINTS",
    "ConvLadderSeed",
    "ConvLightSeed",
    "Seed",
    "SeedObserver",
    "SeedSlot",
    "Stage",
    "make_seed",
]
