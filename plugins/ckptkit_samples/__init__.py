"""Guest of ckptkit: sample files to try it with, where no training of your own is at hand."""
