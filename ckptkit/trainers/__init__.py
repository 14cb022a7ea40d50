"""What is known of each trainer whose checkpoints are adopted: one small file for each, read without its framework."""

from ckptkit.trainers.interface import Judged as Judged
from ckptkit.trainers.interface import Resuming as Resuming
from ckptkit.trainers.interface import Seen as Seen
from ckptkit.trainers.interface import State as State
from ckptkit.trainers.interface import Told as Told
from ckptkit.trainers.interface import Trainer as Trainer
from ckptkit.trainers.table import TRAINERS as TRAINERS
