from collections.abc import Mapping
from typing import Any

import pytest

from models.binomial import Binomial
from models.isolation_forest import IsolationForest
from models.mvnn import Mvnn
from models.robust_z import RobustZ
from zhiwei.errors import ConfigError

MVNN = {"history": 144, "threshold": 0.8, "precision": {"default": 0.01}}
BED = {"window": 6, "probability": 0.5, "threshold": 0.85, "timeout": 12}
ROBUST = {"window": 144, "warmup": 24, "threshold": 6.0}
FOREST = {"warmup": 256, "trees": 100, "quantile": 0.999, "seed": 0}
MAKE: dict[str, Any] = {
    "mvnn": lambda settings: Mvnn(channels=("ph",), settings=settings, file="p.toml"),
    "binomial": lambda settings: Binomial(settings=settings, file="p.toml"),
    "robust_z": lambda settings: RobustZ(channels=("ph",), settings=settings, file="p.toml"),
    "isolation_forest": lambda settings: IsolationForest(channels=("ph",), settings=settings, file="p.toml"),
}


@pytest.mark.parametrize(
    ("part", "settings", "error"),
    [
        ("mvnn", {**MVNN, "history": 1}, "p.toml: mvnn.history = 1: expected int >= 2"),
        ("mvnn", {**MVNN, "histry": 3}, "mvnn.histry = 3: expected one of history, threshold, precision"),
        ("mvnn", {"threshold": 1.0}, "p.toml: mvnn.history = None: expected this setting to be given"),
        ("mvnn", {**MVNN, "precision": {"ph": 0.01}}, "an entry 'default' for channels that are not named"),
        ("mvnn", {**MVNN, "precision": {"ph": 0, "default": 1}}, "mvnn.precision[...]"),
        ("mvnn", {**MVNN, "threshold": "high"}, "p.toml: mvnn.threshold = 'high': expected float, got str"),
        ("binomial", {**BED, "threshold": 0.5}, "p.toml: binomial.threshold = 0.5: expected float > 0.5"),
        ("binomial", {**BED, "probability": 1.0}, "p.toml: binomial.probability = 1.0: expected float < 1.0"),
        ("robust_z", {**ROBUST, "warmup": 145}, "robust_z.warmup = 145: expected at most the window, 144"),
        ("isolation_forest", {**FOREST, "warmup": 3}, "isolation_forest.warmup = 3: expected int >= 16"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_would_be_right(
    part: str, settings: Mapping[str, object], error: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        MAKE[part](settings)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("part", "settings"),
    [("mvnn", MVNN), ("binomial", BED), ("robust_z", ROBUST), ("isolation_forest", FOREST)],
)
def test_every_setting_must_be_chosen(part: str, settings: Mapping[str, object]) -> None:
    MAKE[part](settings)
    for key in settings:
        with pytest.raises(ConfigError, match=f"{part}.{key}"):
            MAKE[part]({name: value for name, value in settings.items() if name != key})
