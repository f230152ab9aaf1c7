"""Where a coordinator can be reached, and who may: `control/scheduler.json` and `control/tls.pem` of a spool.

Whoever reaches a Dask scheduler or worker can run code as its user, and on a machine that many use all of them reach
what listens on its loopback. So every one speaks TLS, and both sides must show the certificate of the spool: who can
read its key (the file's owner) can join, nobody else. Where another user has made `tls.pem`, ours is `tls-<uid>.pem`.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import pwd
import secrets
import socket
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, InputError, MissingFileError, SpoolError
from xrdcommon.files import read_json, write_json
from xrdcommon.spool.journal import explain_refusals
from xrdcommon.spool.layout import Layout

FIRST_DAY, LAST_DAY = datetime.datetime(2000, 1, 1), datetime.datetime(2100, 1, 1)
"""Of the certificate: no clock that jumps makes it invalid; it ends with the spool."""


@dataclass(frozen=True, slots=True)
class Address:
    """A scheduler, as its file names it.

    Attributes:
        address: `tcp://...` or `tls://...`.
        token: of this incarnation; another coordinator has another one, even at the same address.

    """

    address: str
    token: str

    @property
    def protected(self) -> bool:
        """Return whether TLS is spoken there."""
        return self.address.startswith("tls://")

    @property
    def endpoint(self) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = self.address.rpartition("://")[2].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def local(self) -> bool:
        """Return whether only this machine can reach it."""
        return is_local(self.endpoint[0])


def is_local(host: str) -> bool:
    """Return whether a name or number of an interface is this machine's loopback."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def publish(file: Path, address: str) -> Address:
    """Tell workers where the scheduler is."""
    published = Address(address, secrets.token_hex(8))
    content = {"address": address, "id": published.token, "host": socket.gethostname(), "pid": os.getpid()}
    write_json(file, content)
    return published


def withdraw(file: Path, published: Address) -> None:
    """Remove an address unless another coordinator has put its own there."""
    with contextlib.suppress(MissingFileError, InputError):
        if read_address(file) == published:
            file.unlink(missing_ok=True)


def find(file: Path) -> Address | None:
    """Return the address in a file, None where there is none."""
    try:
        return read_address(file)
    except InputError:
        if file.exists():
            raise
        return None


def read_address(file: Path) -> Address:
    """Return the address that a scheduler file names.

    Raises:
        InputError: no such file.
        FormatError: not a scheduler file.

    """
    try:
        content = read_json(file)
    except MissingFileError:
        raise InputError(f"{file}: no such scheduler file; start `dask scheduler --scheduler-file` first") from None
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str) or "://" not in address:
        raise FormatError(f"{file}: not a scheduler file (no address in it); name the one that `dask scheduler` wrote")
    return Address(address, str(content.get("id", "")))


def key_file(layout: Layout) -> Path:
    """Return the path of this user's private key and certificate for a spool."""
    shared = layout.control / "tls.pem"
    return shared if _owner(shared) in (None, os.geteuid()) else shared.with_stem(f"tls-{os.geteuid()}")


def check_owner(file: Path) -> None:
    """Refuse a production of another user: its workers run code as that user, and it would run code as ours.

    Raises:
        SpoolError: another user has put the address there.

    """
    owner = _owner(file)
    if owner not in (None, 0, os.geteuid()):
        raise SpoolError(
            f"{file}: the production there is of another user ({_user(owner)}); only its own user's workers can join"
        )


def _owner(path: Path) -> int | None:
    """Return the user whose file this is, None where there is none."""
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None


def _user(number: int | None) -> str:
    """Return a user's name, where the machine knows it."""
    with contextlib.suppress(KeyError, TypeError):
        return pwd.getpwuid(number).pw_name  # type: ignore[arg-type]
    return f"uid {number}"


def security(layout: Layout, *, create: bool = False) -> Any:
    """Return Dask's settings for TLS with the certificate of a spool.

    Args:
        layout: of the spool.
        create: make the certificate where there is none.

    Raises:
        SpoolError: no certificate, not one's own, or readable by others.

    """
    path = key_file(layout)
    if create and not path.exists():
        _make(path)
        path = key_file(layout)  # another user may have been quicker
        if not path.exists():
            _make(path)
    try:
        found = path.stat()
        path.read_bytes()
    except FileNotFoundError:
        raise SpoolError(f"{path}: no certificate; the producer makes it") from None
    except PermissionError:
        raise SpoolError(f"{path}: not yours to read; only who can read the spool's key can join") from None
    mode = found.st_mode & 0o777
    if found.st_uid != os.geteuid():
        raise SpoolError(
            f"{path}: made by {_user(found.st_uid)}, who could run code as you with it; "
            "remove it (where files belong to another user than who makes them, only `--workers 0` is safe)"
        )
    if mode & 0o077:
        raise SpoolError(
            f"{path}: others can read this key (mode {mode:o}); `chmod 600` it, or remove it for a new one; on a file "
            "system that keeps no modes only `--workers 0` is safe"
        )
    file = str(path)
    distributed: Any = import_module("distributed.security")
    roles = {f"tls_{role}_{what}": file for role in ("scheduler", "worker", "client") for what in ("cert", "key")}
    return distributed.Security(require_encryption=True, tls_ca_file=file, **roles)


def _make(path: Path) -> None:
    """Make private key and certificate in one file that only its owner can read; the first of many makers wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with explain_refusals(path.parent.parent):
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(_key_and_certificate())
                stream.flush()
                os.fsync(stream.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def _key_and_certificate() -> bytes:
    """Return a new private key (P-256) and its self-signed certificate, PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xrdstream spool")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = {
        "key_cert_sign": True,
        "digital_signature": True,
        **dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False),
        **dict.fromkeys(("crl_sign", "encipher_only", "decipher_only"), False),
    }
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST_DAY)
        .not_valid_after(LAST_DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
