"""The demo on an S3 server that it starts itself, with nothing to configure: python examples/demo/demo_s3.py."""

import os
import sys

import obstore
from demo import OUTPUT, ckptkit, fail, flipped, fresh_output, say, tell
from obstore.store import S3Store
from s3_server import BUCKET, serving

PREFIX = "training"


class Bucket:
    """A store in a bucket of S3; who asks, and where, is told by the environment."""

    def __init__(self) -> None:
        self.url = f"s3://{BUCKET}/{PREFIX}"
        self._service = S3Store(BUCKET, prefix=PREFIX, client_options={"allow_http": True})

    def has(self, run: str, step: int) -> bool:
        return bool(self._below(f"{run}/step-{step:08d}"))

    def half_written(self, run: str, step: int) -> list[str]:
        # Payload lies below a prefix that is named after its checkpoint, and that nobody else writes to.
        keys = self._below(f"{run}/.ckptkit/data")
        return sorted(key.rpartition("/")[2] for key in keys if f"/step-{step:08d}." in key)

    def flip_one_byte(self, run: str, step: int, file: str) -> None:
        keys = self._below(f"{run}/.ckptkit/data")
        key = next(key for key in keys if f"/step-{step:08d}." in key and key.endswith(f"/{file}"))
        obstore.put(self._service, key, flipped(bytes(obstore.get(self._service, key).bytes())))

    def _below(self, prefix: str) -> list[str]:
        return [one["path"] for page in obstore.list(self._service, prefix) for one in page]


def main() -> None:
    """Start the server, say what a person would type to use it, tell the story, and stop the server."""
    folder = fresh_output() / "server"
    folder.mkdir()
    try:
        with serving(folder) as server:
            os.environ.update(server.environment)
            say(
                "0. A bucket on an S3 server of one's own. A bucket elsewhere takes the same variables, or your profile"
            )
            for name, value in server.environment.items():
                print(f"$ export {name}={value}")
            place = Bucket()
            ckptkit(place, "doctor", "--format", "table")
            tell(place)
    except RuntimeError as error:
        fail(str(error))
    print(f"The server is stopped; what it kept is in {os.path.relpath(OUTPUT / 'server')}")


if __name__ == "__main__":
    sys.exit(main())
