"""One ``fit`` that begins in the middle of an epoch: batches that were trained before are passed over silently."""

from collections.abc import Callable
from typing import Any

from ckptkit.errors import BackendError


def callback_list(callbacks: list[Any], model: Any, *, begun: int, epochs: int, steps: int | None, verbose: Any) -> Any:
    """Return a ``keras.callbacks.CallbackList``, as ``fit`` makes it, that is silent for the first ``begun`` batches.

    Args:
        callbacks: in the order in which they are called.
        model: the model that is trained.
        begun: batches of the first epoch that were trained before.
        epochs: of the whole training.
        steps: of an epoch; None if Keras has to count them.
        verbose: as for ``fit``.
    """
    from ckptkit_hooks.keras_callback_list import LateCallbackList  # only now is Keras needed

    made = LateCallbackList(
        callbacks, add_history=True, add_progbar=verbose != 0, verbose=verbose, epochs=epochs, steps=steps, model=model
    )
    made.begun = begun
    return made


def pass_over(model: Any, batches: int) -> Callable[[], None]:
    """Let the model do nothing in its next training steps until this many batches have gone by.

    The loop of ``fit`` over an epoch always begins at batch 0 (Keras 3.15), and a second ``fit`` for the rest would end
    the training in between: callbacks reset themselves, averaged weights replace the weights. So the loop runs as
    always, and the steps already done are not done again.

    Returns:
        A function that makes the model train again, if it does not yet.

    Raises:
        BackendError: the batches are not a multiple of the model's ``steps_per_execution``.
    """
    together = model.steps_per_execution
    if batches % together:
        raise BackendError(
            f"the checkpoint is at batch {batches} of an epoch, inside of a step with steps_per_execution={together}",
            hint="compile the model with the same steps_per_execution as in the training",
        )
    train, left = model.train_function, [batches // together]

    def again() -> None:
        if model.train_function is idle:
            model.train_function = train

    def idle(iterator: Any) -> dict[str, Any]:
        left[0] -= 1
        if not left[0]:
            again()
        return {}

    model.train_function = idle
    return again
