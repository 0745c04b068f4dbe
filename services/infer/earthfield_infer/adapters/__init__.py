"""Other people's encoders: offered by any installed package, found by name, held to what `Encoder` promises."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import EarthfieldError, InvalidInput
from earthfield.ports import Encoder
from earthfield_infer.adapters.checked import CheckedEncoder, told_by

GROUP = "earthfield.encoders"
"""Entry points of this group offer encoders: a name, and a factory `(catalog, model name) -> Encoder`."""

Factory = Callable[[Catalog, str], Encoder]


def encoder_by_name(catalog: Catalog, model: str) -> Encoder | None:
    """Connects the encoder that some package offers under a model's name.

    A package that offers `maker` also serves every name that begins with `maker-`: its variants.

    Args:
        catalog: where weights may lie, under `models/<name>/`.
        model: the model's name.

    Returns:
        The encoder, checked at every call; None where nobody offers the name.

    Raises:
        InvalidInput: the name cannot stand in an address, two packages offer it, or what offers it cannot be
            imported or gives something that is no encoder of that name.
        EarthfieldError: the package failed; what it raises from this tree itself passes as it is.
    """
    point = _offered(checked_name(model))
    if point is None:
        return None
    who = f"the encoder {point.name!r} of {_package(point)}"
    try:
        factory: Factory = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise InvalidInput(
            f"{who} cannot be imported ({told_by(error)}): repair or remove that package"
        ) from error
    try:
        encoder = factory(catalog, model)
    except EarthfieldError:
        raise
    except Exception as error:
        # Code of another package: whatever it raises is told in one sentence.
        raise EarthfieldError(f"{who} failed to start ({told_by(error)}): see that package") from error
    return CheckedEncoder(encoder, model, who)


def offered_names() -> tuple[str, ...]:
    """Lists the names under which installed packages offer encoders, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def _offered(model: str) -> EntryPoint | None:
    points = [one for one in entry_points(group=GROUP) if f"{model}-".startswith(f"{one.name}-")]
    if not points:
        return None
    longest = max(len(one.name) for one in points)
    nearest = sorted({one for one in points if len(one.name) == longest}, key=lambda one: one.value)
    if len(nearest) > 1:
        both = " and ".join(_package(one) for one in nearest)
        raise InvalidInput(f"the model name {model!r} is offered twice, by {both}: remove one of them")
    return nearest[0]


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
