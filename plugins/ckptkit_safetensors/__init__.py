"""Guest of ckptkit."""
