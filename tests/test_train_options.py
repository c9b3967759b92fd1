"""``karn train``: every hyperparameter can be given, and what can't be is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper.leyline.errors import KarnError
from esper.simic.config import PPOConfig, TrainConfig
from esper.simic.overrides import config_from
from support import read_events
from test_cli import error_of, karn

SMALL = ("--envs", "1", "--episodes", "1", "--epochs", "3", "--run-dir", "run")


class TestSettings:
    def test_each_kind_of_value(self) -> None:
        settings = (
            "train_images=256",
            "lr=0.01",
            "shared_hosts=true",
            "blueprints=conv_light,conv_ladder",
            "ppo.hidden=8",
            "ppo.lr=1e-3",
        )
        assert config_from({"policy": "ppo"}, settings) == TrainConfig(
            policy="ppo",
            train_images=256,
            lr=0.01,
            shared_hosts=True,
            blueprints=("conv_light", "conv_ladder"),
            ppo=PPOConfig(hidden=8, lr=1e-3),
        )

    def test_a_setting_stands_over_an_option(self) -> None:
        assert config_from({"seed": 1}, ["seed=2"]).seed == 2

    def test_none_can_be_planted(self) -> None:
        assert config_from({}, ["blueprints=none"]).blueprints == ()

    @pytest.mark.parametrize(
        ("setting", "says"),
        [
            ("ppo.lrr=1", "did you mean ppo.lr"),
            ("train_image=1", "did you mean train_images"),
            ("ppo=1", "unknown setting 'ppo'"),
            ("train_images", "write name=value"),
            ("train_images=many", "train_images must be a whole number, not 'many'"),
            ("train_images=0", "train_images must be 1 to 1397"),
            ("ppo.gamma=2", r"ppo\.gamma must be 0 to 1"),
        ],
    )
    def test_a_wrong_one_is_said_in_a_line(self, setting: str, says: str) -> None:
        with pytest.raises(KarnError, match=says):
            config_from({}, [setting])


def test_what_was_given_is_in_the_events(tmp_path: Path) -> None:
    options = ("--policy", "ppo", "--blueprints", "conv_ladder", "--set", "ppo.hidden=8", "--holdout", "0.1")
    done = karn("train", *SMALL, *options, "-d", tmp_path)
    assert done.returncode == 0, done.stderr
    config = read_events(tmp_path / "run/events.jsonl")[0]["data"]["config"]
    assert config["policy"] == "ppo"
    assert config["blueprints"] == ["conv_ladder"]
    assert config["ppo"]["hidden"] == 8
    assert config["holdout"] == 0.1


def test_an_unknown_blueprint_writes_nothing(tmp_path: Path) -> None:
    assert "did you mean conv_ladder" in error_of("train", "--blueprints", "conv_lader", "-d", tmp_path / "t")
    assert not (tmp_path / "t").exists()
