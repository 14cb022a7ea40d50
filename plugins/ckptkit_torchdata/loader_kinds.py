"""Tells DataLoaders and their parts from other objects by the names of their classes: nothing is imported."""


def is_data_loader(item: object) -> bool:
    """Return whether the object is a ``torch.utils.data.DataLoader``, of a subclass too."""
    return any(
        cls.__name__ == "DataLoader" and cls.__module__.startswith("torch.utils.data") for cls in type(item).__mro__
    )


def is_stateful(loader: object) -> bool:
    """Return whether the object is a ``StatefulDataLoader`` of torchdata."""
    return any(
        cls.__name__ == "StatefulDataLoader" and cls.__module__.startswith("torchdata.") for cls in type(loader).__mro__
    )


def is_torchs_own(part: object) -> bool:
    """Return whether a sampler is of torch's or torchdata's own classes, whose habits are known."""
    module = type(part).__module__
    return module.startswith(("torch.utils.data", "torchdata."))
