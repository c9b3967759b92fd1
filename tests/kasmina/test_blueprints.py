"""Seeds: what they compute, and which of their parameters learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper.kasmina import BLUEPRINTS, ConvLadderSeed, ConvLightSeed, make_seed
from esper.leyline.errors import NotFoundError, TelemetryUsageError

CHANNELS = 3


def images(batch: int = 2, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randn(batch, CHANNELS, height, width, generator=torch.Generator().manual_seed(0))


def trained(seed: ConvLadderSeed, steps: int = 3) -> ConvLadderSeed:
    """The same ladder after a few steps at its top, so that no block is zero any more."""
    level = seed.level
    seed.set_level(seed.max_level)
    optimizer = torch.optim.SGD(seed.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        seed(images()).sub(1).square().mean().backward()
        optimizer.step()
    seed.set_level(level)
    return seed


class TestConvLadder:
    def test_starts_at_level_1_of_4(self) -> None:
        seed = ConvLadderSeed(CHANNELS)
        assert (seed.level, seed.max_level) == (1, 4)

    @pytest.mark.parametrize("level", range(5))
    def test_new_seed_is_the_identity_at_every_level(self, level: int) -> None:
        torch.testing.assert_close(ConvLadderSeed(CHANNELS, 4, level)(images()), images())

    def test_level_0_is_the_identity_whatever_was_learned(self) -> None:
        seed = trained(ConvLadderSeed(CHANNELS))
        assert not torch.equal(seed(images()), images())
        seed.set_level(0)
        assert torch.equal(seed(images()), images())

    @given(
        level=st.integers(0, 4),
        batch=st.integers(1, 3),
        height=st.integers(1, 9),
        width=st.integers(1, 9),
    )
    @settings(max_examples=30, deadline=None)
    def test_output_has_the_shape_of_the_input(self, level: int, batch: int, height: int, width: int) -> None:
        x = images(batch, height, width)
        assert ConvLadderSeed(CHANNELS, 4, level)(x).shape == x.shape

    def test_params_grow_with_the_level(self) -> None:
        seed = ConvLadderSeed(CHANNELS)
        counts = []
        for level in range(5):
            seed.set_level(level)
            counts.append(seed.active_param_count())
        block, projection = CHANNELS * CHANNELS * 9 + CHANNELS, CHANNELS * CHANNELS + CHANNELS
        assert counts == [0, *(projection + level * block for level in range(1, 5))]

    @pytest.mark.parametrize("level", range(1, 5))
    def test_gradients_reach_active_blocks_and_no_others(self, level: int) -> None:
        seed = trained(ConvLadderSeed(CHANNELS))
        seed.zero_grad()
        seed.set_level(level)
        seed(images()).square().sum().backward()
        reached = [
            all(p.grad is not None and bool(p.grad.any()) for p in block.parameters())
            for block in seed.blocks
        ]
        assert reached == [index < level for index in range(4)]
        assert all(p.grad is None for block in seed.blocks[level:] for p in block.parameters())

    def test_a_block_that_left_is_not_moved_by_its_momentum(self) -> None:
        seed = ConvLadderSeed(CHANNELS, 2, 2)
        optimizer = torch.optim.Adam(seed.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            seed(images()).sub(1).square().mean().backward()
            optimizer.step()
        seed.set_level(1)
        top = seed.blocks[1].weight.clone()
        assert bool(top.any())
        optimizer.step()
        assert torch.equal(seed.blocks[1].weight, top)

    @given(start=st.integers(0, 4), path=st.lists(st.integers(0, 4), max_size=6))
    @settings(max_examples=30, deadline=None)
    def test_coming_back_to_a_level_brings_back_what_it_computed(self, start: int, path: list[int]) -> None:
        seed = trained(ConvLadderSeed(CHANNELS, 4, start))
        before, params = seed(images()), seed.active_param_count()
        for level in [*path, start]:
            seed.set_level(level)
        assert torch.equal(seed(images()), before)
        assert seed.active_param_count() == params

    @pytest.mark.parametrize("level", [-1, 5])
    def test_a_level_off_the_ladder_is_refused(self, level: int) -> None:
        seed = ConvLadderSeed(CHANNELS)
        with pytest.raises(TelemetryUsageError, match="must lie in 0 to 4"):
            seed.set_level(level)
        assert seed.level == 1

    @pytest.mark.parametrize(("channels", "max_level"), [(0, 4), (3, 0)])
    def test_an_empty_ladder_is_refused(self, channels: int, max_level: int) -> None:
        with pytest.raises(TelemetryUsageError, match="at least 1 channel and 1 level"):
            ConvLadderSeed(channels, max_level)


class TestConvLight:
    def test_is_the_identity_at_first_and_has_no_levels(self) -> None:
        seed = ConvLightSeed(CHANNELS)
        torch.testing.assert_close(seed(images()), images())
        assert (seed.level, seed.max_level) == (None, None)
        assert seed.active_param_count() == CHANNELS * 9 + CHANNELS + CHANNELS * CHANNELS + CHANNELS


class TestBlueprints:
    @pytest.mark.parametrize("name", BLUEPRINTS)
    def test_every_blueprint_keeps_the_shape(self, name: str) -> None:
        assert make_seed(name, CHANNELS, 4)(images()).shape == images().shape

    def test_an_unknown_one_names_the_nearest(self) -> None:
        with pytest.raises(NotFoundError, match="did you mean conv_ladder"):
            make_seed("conv_lader", CHANNELS, 4)
