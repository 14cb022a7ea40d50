"""Nothing that is changed about a signed checkpoint is accepted: every byte of it, and what an attacker would try."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckptkit import CheckpointStore, Files, StoreReader
from ckptkit.formats import strict_json
from ckptkit.manifest import reading
from ckptkit.signing import key_files, oms
from ckptkit.signing.envelope import Envelope
from ckptkit.signing.keyring import Keyring
from ckptkit.signing.statement import TYPE, Statement
from ckptkit.verification import Verifier

ORDER = 2**252 + 27742317777372353535851937790883648493  # of the group of Ed25519
Change = tuple[str, Callable[[], object]]


class Signed:
    """A store with two runs whose checkpoints ada has signed, and what a test does to the first of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ada = key_files.generate(root / "ada")
        self.eve = key_files.generate(root / "eve")
        (root / "notes").mkdir()
        self.store = CheckpointStore(root / "store", signer=self.ada)
        for run, step in (("ppo/run1", 1), ("ppo/run1", 2), ("ppo/run2", 1)):
            (root / "notes/a.txt").write_text(f"{run} {step}")
            self.store.save(run, step, {"notes": Files(root / "notes", "files")})
        self.folder = root / "store/ppo/run1/step-00000001"
        self.next = root / "store/ppo/run1/step-00000002"
        self.other = root / "store/ppo/run2/step-00000001"
        self.file, self.manifest = self.folder / "signatures.json", self.folder / "manifest.json"
        self.signatures = self.file.read_bytes()
        self.whole = root / "whole"
        shutil.copytree(root / "store", self.whole)
        self.verifier = Verifier("digest", signers=Keyring.of([root / "ada.pub"]))
        self.at = StoreReader(root / "store", cache=False).locate("ppo/run1@1")[0]

    def accepted(self) -> bool:
        return self.verifier.verify(self.at).good

    def reset(self) -> None:
        shutil.rmtree(self.root / "store")
        shutil.copytree(self.whole, self.root / "store")

    @property
    def value(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.signatures)
        return parsed

    @property
    def envelope(self) -> Envelope:
        return Envelope.of(self.value["signatures"][0])

    def put(self, *envelopes: Envelope) -> None:
        self.write({"schema_version": "1.0", "signatures": [one.plain() for one in envelopes]})

    def write(self, value: object) -> None:
        self.file.write_bytes(strict_json.dumps(value, indent=1) + b"\n")

    def reseal(self, **fields: object) -> None:
        """Write a manifest that verifies by its own digest, as whoever can write to the store can."""
        said = json.loads(self.manifest.read_bytes())
        algorithm = said.pop("digest").partition(":")[0]
        self.manifest.write_bytes(reading.sealed(said | fields, algorithm)[1])


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    made = Signed(tmp_path)
    assert made.accepted(), "what is not changed is accepted"
    return made


def still_accepted(signed: Signed, changes: Iterator[Change]) -> tuple[int, list[str]]:
    """Make each change, and return how many there were, and which were accepted."""
    count, found = 0, []
    for name, change in changes:
        change()
        count += 1
        if signed.accepted():
            found.append(name)
        signed.reset()
        assert signed.accepted(), "put back"
    return count, found


def of_bytes(path: Path, data: bytes, others: Callable[[int], set[int]]) -> Iterator[tuple[str, bytes]]:
    for place, byte in enumerate(data):
        for other in sorted(others(byte) - {byte}):
            yield f"{path.name}[{place}]={other}", data[:place] + bytes([other]) + data[place + 1 :]


def each_byte(signed: Signed, path: Path, others: Callable[[int], set[int]]) -> tuple[int, list[str]]:
    """Change each byte of a file of the checkpoint, and cut it at each place; nothing else needs to be put back."""
    data = path.read_bytes()
    tries = [*of_bytes(path, data, others), *((f"cut at {n}", data[:n]) for n in range(len(data)))]
    found = []
    for name, changed in tries:
        path.write_bytes(changed)
        if signed.accepted():
            found.append(name)
    path.write_bytes(data)
    assert signed.accepted(), "put back"
    return len(tries), found


def test_no_byte_of_the_signatures_can_be_changed(signed: Signed) -> None:
    """Into its neighbour, into what is as good in JSON and in base64, and into nothing."""
    count, accepted = each_byte(signed, signed.file, lambda byte: {byte ^ 1, byte ^ 32, 0x20, 0x41})
    assert accepted == []
    assert count >= 4 * 600, "the file holds at least so many bytes"


@pytest.mark.matrix
def test_no_byte_of_the_signatures_can_be_any_of_55_others(signed: Signed) -> None:
    signed.verifier = Verifier("presence", signers=Keyring.of([signed.root / "ada.pub"]))
    count, accepted = each_byte(signed, signed.file, lambda byte: {*range(32, 127, 2), 0, 9, 10, 13, 127, 128, 255})
    assert accepted == []
    assert count >= 54 * 650, "so many changes of so many bytes"


def test_no_byte_of_the_manifest_can_be_changed(signed: Signed) -> None:
    count, accepted = each_byte(signed, signed.manifest, lambda byte: {byte ^ 1, 0x20})
    assert accepted == []
    assert count >= 3 * 900


def test_no_byte_of_a_file_can_be_changed(signed: Signed) -> None:
    count, accepted = each_byte(signed, signed.folder / "notes/a.txt", lambda byte: {byte ^ 1, byte ^ 128, 0})
    assert (accepted, count) == ([], 10 * 4)


def of_the_envelope(signed: Signed) -> Iterator[Change]:
    """What is in the file of signatures: its parts doubled, left out, and in other forms."""
    one = signed.envelope
    plain, data = one.plain(), signed.signatures
    sig = base64.b64decode(plain["signatures"][0]["sig"])
    high = (int.from_bytes(sig[32:], "little") + ORDER).to_bytes(32, "little")
    for name, signature in {
        "empty": b"",
        "zeros": bytes(64),
        "short": sig[:-1],
        "long": sig + b"\0",
        "twice": sig + sig,
        "halves swapped": sig[32:] + sig[:32],
        "plus the order": sig[:32] + high,
        "of nothing": signed.ada.sign(b""),
        "of the payload alone": signed.ada.sign(one.payload),
        "of the digest": signed.ada.sign(Statement.read(one.payload).manifest.encode()),
        "of the manifest": signed.ada.sign(signed.manifest.read_bytes()),
        "of another type": Envelope.signed(oms.TYPE, one.payload, signed.ada).signature,
        "by another key": Envelope.signed(TYPE, one.payload, signed.eve).signature,
    }.items():
        yield f"signature: {name}", lambda s=signature: signed.put(Envelope(one.type, one.payload, one.key, s))
    for name, kind in {"none": "", "in-toto": oms.TYPE, "case": TYPE.upper(), "longer": TYPE + " "}.items():
        yield f"type: {name}", lambda k=kind: signed.put(Envelope(k, one.payload, one.key, one.signature))
    for name, key in {"none": "", "eve's": signed.eve.public.id, "case": one.key.lower(), "*": "*"}.items():
        yield f"key: {name}", lambda k=key: signed.put(Envelope(one.type, one.payload, k, one.signature))
    yield "signed by eve as eve", lambda: signed.put(Envelope.signed(TYPE, one.payload, signed.eve))
    yield (
        "signed by eve as ada",
        lambda: signed.put(
            Envelope(TYPE, one.payload, one.key, Envelope.signed(TYPE, one.payload, signed.eve).signature)
        ),
    )
    values: dict[str, object] = {
        "nothing": {},
        "a list": [],
        "null": None,
        "no signatures": {"schema_version": "1.0", "signatures": []},
        "no version": {"signatures": [plain]},
        "a newer version": {"schema_version": "1.1", "signatures": [plain]},
        "no signature in the envelope": {**signed.value, "signatures": [plain | {"signatures": []}]},
        "two in one envelope": {**signed.value, "signatures": [plain | {"signatures": plain["signatures"] * 2}]},
        "a member more": {**signed.value, "more": 1},
        "a member more in the envelope": {**signed.value, "signatures": [plain | {"more": 1}]},
        "an envelope around it": {**signed.value, "signatures": [[plain]]},
    }
    for name, value in values.items():
        yield name, lambda v=value: signed.write(v)
    for name, text in {
        "on one line": json.dumps(signed.value).encode(),
        "other order": json.dumps(signed.value, indent=1, sort_keys=False)[::1].encode(),
        "deeper": json.dumps(signed.value, indent=2, sort_keys=True).encode() + b"\n",
        "no line break": data[:-1],
        "two line breaks": data + b"\n",
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode().encode("utf-16"),
        "twice": data + data,
        "a comment": b"// signed\n" + data,
        "CRLF": data.replace(b"\n", b"\r\n"),
        "a key twice": data.replace(b' "schema_version"', b' "schema_version": "1.0",\n "schema_version"'),
        "signatures twice": data[:-3] + b',\n "signatures": []\n}\n',
        "payload twice": data.replace(b'   "payload":', b'   "payload": "e30=",\n   "payload":'),
        "sig twice": data.replace(b'     "sig":', b'     "sig": "AAAA",\n     "sig":'),
        "escaped": data.replace(b"payload", b"p\\u0061yload"),
        "base64 in lines": data.replace(b"eyJ", b"ey\\nJ"),
        "base64 for URLs": data.replace(b"+", b"-").replace(b"/", b"_"),
        "base64 without padding": data.replace(b'=="', b'"'),
    }.items():
        yield f"bytes: {name}", lambda t=text: signed.file.write_bytes(t)
    yield "gone", signed.file.unlink
    yield "a folder", lambda: (signed.file.unlink(), signed.file.mkdir())
    yield "a link", lambda: (signed.file.rename(signed.root / "s"), signed.file.symlink_to(signed.root / "s"))


def of_the_statement(signed: Signed) -> Iterator[Change]:
    """What is said, signed by ada or not: other values, and the same ones in other forms."""
    one = signed.envelope
    said = json.loads(one.payload)
    values: dict[str, dict[str, object]] = {
        "run": {"run": "ppo/run2"},
        "run in capitals": {"run": "PPO/run1"},
        "a part of the run": {"run": "run1"},
        "step": {"step": 2},
        "step as text": {"step": "1"},
        "step as a float": {"step": 1.0},
        "step as true": {"step": True},
        "manifest": {"manifest": "blake3:" + "0" * 64},
        "manifest by another algorithm": {"manifest": said["manifest"].replace("blake3", "sha256")},
        "sha256": {"sha256": "0" * 64},
        "no moment": {"signed_at": "today"},
        "version": {"schema_version": "2.0"},
        "more": {"more": 1},
    }
    for name, fields in values.items():
        payload = strict_json.dumps(said | fields)
        yield f"{name}, not signed", lambda p=payload: signed.put(Envelope(TYPE, p, one.key, one.signature))
        yield f"{name}, signed", lambda p=payload: signed.put(Envelope.signed(TYPE, p, signed.ada))
    for name in said:
        payload = strict_json.dumps({k: v for k, v in said.items() if k != name})
        yield f"without {name}, signed", lambda p=payload: signed.put(Envelope.signed(TYPE, p, signed.ada))
    for name, payload in {
        "empty": b"",
        "no JSON": b"ppo/run1@1",
        "spaced": json.dumps(said).encode(),
        "run twice": one.payload[:-1] + b',"run":"ppo/run2"}',
        "in a list": b"[" + one.payload + b"]",
    }.items():
        yield f"{name}, signed", lambda p=payload: signed.put(Envelope.signed(TYPE, p, signed.ada))
        yield f"{name}, as OMS", lambda p=payload: signed.put(Envelope.signed(oms.TYPE, p, signed.ada))


def of_the_store(signed: Signed) -> Iterator[Change]:
    """What whoever can write to the store would try: files of other checkpoints, manifests that verify, and both."""
    for other in (signed.next, signed.other):
        name = f"{other.parent.name}/{other.name}"
        for file in ("signatures.json", "manifest.json", "notes/a.txt"):
            yield f"{file} of {name}", lambda o=other, f=file: shutil.copyfile(o / f, signed.folder / f)
        yield (
            f"all but the signatures of {name}",
            lambda o=other: [shutil.copyfile(o / f, signed.folder / f) for f in ("manifest.json", "notes/a.txt")],
        )
        yield f"all of {name}", lambda o=other: shutil.copytree(o, signed.folder, dirs_exist_ok=True)
        both = [signed.envelope, Envelope.of(json.loads((other / "signatures.json").read_bytes())["signatures"][0])]
        yield (
            f"its manifest with both signatures, {name}",
            lambda o=other, b=both: (
                shutil.copytree(o, signed.folder, dirs_exist_ok=True),
                signed.put(*b),
            ),
        )
    data = signed.manifest.read_bytes()
    value = json.loads(data)
    items = value["items"]
    file = items["notes"]["files"][0]
    for name, fields in {
        "run": {"run": "ppo/run2"},
        "step": {"step": 2},
        "sequence": {"sequence": 99},
        "metrics": {"metrics": {"reward": 1e9}},
        "resume": {"resume": {"argv": ["sh", "-c", "evil"], "cwd": "/", "env": []}},
        "another file": {"items": {"notes": items["notes"] | {"files": [file | {"digest": "blake3:" + "0" * 64}]}}},
        "an item more": {"items": items | {"more": items["notes"]}},
        "trusted": {"items": {"notes": items["notes"] | {"files": [file | {"trusted": True}]}}},
        "nothing but the writing": {},
    }.items():
        if name != "nothing but the writing":
            yield f"sealed again: {name}", lambda f=fields: _resealed(signed, f)
    for name, text in {
        "on one line": json.dumps(value).encode(),
        "a line break more": data + b"\n",
        "a space more": data.replace(b": ", b":  ", 1),
        "a tab": data.replace(b": ", b":\t", 1),
        "run twice": data.replace(b'"run":', b'"run": "ppo/run1", "run":', 1),
        "escaped": data.replace(b'"run"', b'"r\\u0075n"', 1),
        "null for nothing": data.replace(b'"counters": {}', b'"counters": {} '),
    }.items():
        if text != data:
            yield f"the same in other bytes: {name}", lambda t=text: signed.manifest.write_bytes(t)
    yield "a file more", lambda: (signed.folder / "notes/evil.bin").write_bytes(b"evil")
    yield "a file less", lambda: (signed.folder / "notes/a.txt").unlink()


def _resealed(signed: Signed, fields: dict[str, object]) -> None:
    try:
        signed.reseal(**fields)
    except Exception:  # a law of the format: then an attacker writes what breaks it
        value = json.loads(signed.manifest.read_bytes()) | fields
        signed.manifest.write_bytes(json.dumps(value).encode())


KINDS = {"envelope": (of_the_envelope, 54), "statement": (of_the_statement, 42), "store": (of_the_store, 28)}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_an_attacker_would_try_is_accepted(signed: Signed, kind: str) -> None:
    changes, least = KINDS[kind]
    count, accepted = still_accepted(signed, changes(signed))
    assert accepted == []
    assert count >= least, "as many as there were when this was written"


def test_a_key_that_is_trusted_for_other_things_does_not_count(signed: Signed) -> None:
    lines = [
        f'ada namespaces="git" {signed.ada.public.line}',
        f"bob {key_files.generate(signed.root / 'b').public.line}",
    ]
    (signed.root / "list").write_text("\n".join(lines))
    ring = Keyring.of([signed.root / "list"])
    assert not Verifier("digest", signers=ring).verify(signed.at).good


def test_ecdsa_is_held_to_the_same(tmp_path: Path) -> None:
    """Each byte of a signature by a P-256 key, too: DER has room for other forms of the same numbers."""
    made = Signed(tmp_path)
    key = key_files.generate(tmp_path / "p", "p256")
    made.put(Envelope.signed(TYPE, made.envelope.payload, key))
    made.verifier = Verifier("presence", signers=Keyring.of([tmp_path / "p.pub"]))
    assert made.accepted()
    one = Envelope.of(json.loads(made.file.read_bytes())["signatures"][0])
    der = one.signature
    found = [*of_bytes(made.file, der, lambda byte: {byte ^ 1, byte ^ 128, 0, 255}), ("longer", der + b"\0")]
    found += [(f"cut at {n}", der[:n]) for n in range(len(der))]
    accepted = []
    for name, signature in found:
        made.put(Envelope(one.type, one.payload, one.key, signature))
        if made.accepted():
            accepted.append(name)
    assert accepted == []
    assert len(found) >= 300
