"""`python -m ckptkit` is `ckptkit`: for a Python whose scripts are not on the PATH."""

from ckptkit.cli.main import run

if __name__ == "__main__":
    run()
