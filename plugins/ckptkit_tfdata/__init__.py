"""Guest of ckptkit: tf.data iterators as checkpoint items, resumed at the very next batch or refused.

::

    from ckptkit_tfdata import PersistentIterator
    batches = PersistentIterator(make_dataset)          # make_dataset() -> tf.data.Dataset
    for batch in batches:
        train(batch)
        if batches.batches_seen % 500 == 0:
            store.save("run", step, {"data": batches})

``PersistentIterator(make_dataset, settings={"batch_size": 32, "seed": 42})`` refuses a program with other settings by
their names.

Several hosts: one iterator per rank, each over its own shard of the data and each its own item (``data-rank0``,
``data-rank1``, ...); no item knows of the others.
"""

from ckptkit_tfdata.backend import TfDataBackend
from ckptkit_tfdata.iterator import PersistentIterator

__all__ = ["PersistentIterator", "TfDataBackend"]
