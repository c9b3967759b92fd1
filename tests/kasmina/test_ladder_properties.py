"""A ladder in its slot under any sequence of ops and training steps: what always holds."""

from __future__ import annotations

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor, nn

from esper.kasmina import ConvLadderSeed, Seed, SeedSlot

CHANNELS = 2
IMAGES = torch.randn(2, CHANNELS, 5, 5, generator=torch.Generator().manual_seed(0))
BLOCK = CHANNELS * CHANNELS * 9 + CHANNELS
PROJECTION = CHANNELS * CHANNELS + CHANNELS


class Deaf:
    """An observer that keeps nothing."""

    def germinated(self, slot_id: str, blueprint: str, seed: Seed) -> None: ...
    def level_changed(self, slot_id: str, from_level: int, to_level: int, active_params: int) -> None: ...
    def stage_changed(self, slot_id: str, from_stage: str, to_stage: str) -> None: ...
    def pruned(self, slot_id: str) -> None: ...
    def fossilized(self, slot_id: str) -> None: ...


def written_out(seed: ConvLadderSeed, level: int, x: Tensor) -> Tensor:
    """The formula in ConvLadderSeed's docstring, from the bare weights."""
    if level == 0:
        return x
    h = x
    for block in seed.blocks[:level]:
        h = h + nn.functional.conv2d(torch.relu(h), block.weight, block.bias, padding=1)
    return x + nn.functional.conv2d(h, seed.proj.weight, seed.proj.bias)


class Ladder(RuleBasedStateMachine):
    """Grows, shrinks and trains one ladder with one optimizer over all its blocks, as the trainer does."""

    @initialize(max_level=st.integers(1, 4))
    def plant(self, max_level: int) -> None:
        self.slot = SeedSlot("r0c0", CHANNELS, max_level, Deaf())
        assert self.slot.germinate("conv_ladder")
        assert isinstance(self.slot.seed, ConvLadderSeed)
        self.seed = self.slot.seed
        self.optimizer = torch.optim.Adam(self.seed.parameters(), lr=0.1)
        self.level = 1

    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.seed.named_parameters()}

    def is_active(self, name: str) -> bool:
        return self.level > 0 if name.startswith("proj") else int(name.split(".")[1]) < self.level

    @rule()
    def grow(self) -> None:
        before = self.weights()
        params = self.seed.active_param_count()
        assert self.slot.grow() is (self.level < self.seed.max_level)
        if self.level < self.seed.max_level:
            self.level += 1
            assert self.seed.active_param_count() > params
        assert all(torch.equal(weight, before[name]) for name, weight in self.weights().items())

    @rule()
    def shrink(self) -> None:
        before = self.weights()
        params = self.seed.active_param_count()
        assert self.slot.shrink() is (self.level > 0)
        if self.level > 0:
            self.level -= 1
            assert self.seed.active_param_count() < params
        assert all(torch.equal(weight, before[name]) for name, weight in self.weights().items())

    @rule(up_first=st.booleans())
    def there_and_back(self, up_first: bool) -> None:
        there, back = (self.slot.grow, self.slot.shrink) if up_first else (self.slot.shrink, self.slot.grow)
        before, output = self.weights(), self.slot(IMAGES).detach().clone()
        if there():
            assert back()
        assert self.seed.level == self.level
        assert torch.equal(self.slot(IMAGES), output)
        assert all(torch.equal(weight, before[name]) for name, weight in self.weights().items())

    @rule()
    @precondition(lambda self: self.level > 0)
    def train(self) -> None:
        before = self.weights()
        self.optimizer.zero_grad()
        self.slot(IMAGES).sub(1).square().mean().backward()
        for name, parameter in self.seed.named_parameters():
            assert (parameter.grad is not None) is self.is_active(name), name
        self.optimizer.step()
        moved = {name for name, weight in self.weights().items() if not torch.equal(weight, before[name])}
        assert moved
        assert all(self.is_active(name) for name in moved), moved

    @rule()
    def step_again(self) -> None:
        """With the gradients of before the last op, as a loop that clears them late would."""
        before = self.weights()
        self.optimizer.step()
        moved = {name for name, weight in self.weights().items() if not torch.equal(weight, before[name])}
        assert all(self.is_active(name) for name in moved), moved

    @invariant()
    def computes_its_formula(self) -> None:
        assert self.seed.level == self.level
        torch.testing.assert_close(self.slot(IMAGES), written_out(self.seed, self.level, IMAGES))

    @invariant()
    def is_the_identity_at_level_0(self) -> None:
        if self.level == 0:
            assert torch.equal(self.slot(IMAGES), IMAGES)
            assert not self.slot(IMAGES).requires_grad

    @invariant()
    def trains_one_block_for_each_level_and_the_projection(self) -> None:
        expected = PROJECTION + self.level * BLOCK if self.level else 0
        assert self.seed.active_param_count() == expected


TestLadder = Ladder.TestCase
TestLadder.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
