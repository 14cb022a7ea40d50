"""What trainers and libraries leave on a disk, whole and half-written, and what ``ckptkit save`` makes of each."""
