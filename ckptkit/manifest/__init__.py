"""The manifest: the one small file that makes a folder of payload files a checkpoint."""
