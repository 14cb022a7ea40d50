"""Guest of ckptkit: Stable-Baselines3 agents whose training goes on exactly. Importing it imports no framework.

A map, from the outside in; each file begins with what it is for.

- *The backend*: ``backend`` is the door. ``write`` and ``resume`` are a save and a load, ``probe`` is the proof of
  one, ``adopt`` reads zips that a trainer wrote (``trainers``), ``structure`` checks files without SB3, ``layout``
  names them.
- *While training*: ``boundary`` makes the callback that saves at clean places (``boundary_callback``), ``cycle`` and
  ``rollout`` are these places, ``progress`` says where an algorithm stands, ``resume_callback`` puts a state back
  into a ``learn`` that has begun.
- *The zip*: ``zip_file`` writes it, ``code_free`` keeps code out of it, ``parameters`` puts networks and optimizers
  back, ``agent`` says what must be equal for that.
- *Beside the zip*: ``capture`` walks the sections of ``state.json``. ``settings``: what a program gives and training
  may change; ``modules``: what networks keep beside their parameters (``holders`` finds both); ``callbacks``: those
  of ``learn``; ``replay`` and ``rollout``: rows of buffers (``array_file`` writes them); ``process_rng``: global
  generators.
- *Values*: ``encoding`` and ``decoding`` turn live values into JSON and back, with ``generators`` and ``standard``
  (Python's own library) for theirs. ``objects``: which objects can be read whole; ``no_state``: which attributes are
  none; ``names``: what a value is, without importing its library. ``structure_at_start``: what a load needs an
  algorithm to be built like.
- *Environments*: ``environments`` takes a vector environment, ``single_env`` one of those in it, by the first way
  that can say all of it (``known_envs``: MuJoCo, Atari; ``wrapper`` with ``checkpointable_wrapper``: a log of
  actions); ``errands`` asks those in workers, ``levels`` goes through wrappers, ``shared_state`` is what classes and
  modules keep, ``built_env`` builds one for a new agent.
- *The self-test of environments*: once for each ``definition``, ``trials`` begins it in another process, where
  ``selftest`` lets environments play (``trace``), each in a fork of its own (``forked``).
"""

from ckptkit_sb3.backend import Sb3Backend
from ckptkit_sb3.boundary import CheckpointBoundary
from ckptkit_sb3.cycle import cycle_of
from ckptkit_sb3.wrapper import checkpointable

__all__ = ["CheckpointBoundary", "Sb3Backend", "checkpointable", "cycle_of"]
