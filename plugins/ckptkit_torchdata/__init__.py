"""Guest of ckptkit: the position of a torch DataLoader, resumed at the very next batch.

::

    from ckptkit_torchdata import ResumableLoader
    data = ResumableLoader(make_loader)                 # make_loader() -> torch.utils.data.DataLoader
    for epoch in range(data.epoch, 10):
        for batch in data:
            train(batch)
            if data.batches_seen % 500 == 0:
                store.save("run", data.batches_seen, {"policy": policy, "data": data, "rng": GlobalRng()})

Resuming inside an epoch fetches the batches of it that were given again: see ``ResumableLoader(skip=...)``. What items
draw in the main process (``num_workers=0``), and the shuffle of the next epoch, come from the global generators unless
the loader has a ``generator=``: save a ``GlobalRng`` beside it.
"""

from ckptkit_torchdata.backend import TorchDataBackend
from ckptkit_torchdata.loader import ResumableLoader

__all__ = ["ResumableLoader", "TorchDataBackend"]
