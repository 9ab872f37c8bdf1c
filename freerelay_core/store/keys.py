"""API keys: how they are made, recognised and hashed, and the two that a local install keeps in its home folder.

A key is `fr_live_` (a tenant's) or `fr_admin_` (the operator's), 43 random base62 characters (256 bits), and 6 that
are the CRC-32 of all before them. The checksum lets a mistyped key be refused without asking the database. Only the
SHA-256 digest is stored: a guess among 2^256 gains nothing from a fast hash, so a slow one would only cost us.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from freerelay_core.errors import ConfigurationError

__all__ = ["ApiKey", "Credentials", "KeyKind", "key_digest", "load_or_create_credentials", "new_key", "well_formed"]

KeyKind = Literal["live", "admin"]

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_LENGTH = 43  # 43 * log2(62) = 256.03 bits
_CHECKSUM_LENGTH = 6  # 62 ** 6 > 2 ** 32
_SHOWN_LENGTH = 12
_SHAPE = re.compile(rf"fr_(live|admin)_[0-9A-Za-z]{{{_BODY_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A new key: the `secret` is shown once, `prefix` may be shown for ever, `digest` is what the store keeps."""

    secret: str = field(repr=False)
    prefix: str
    digest: str


def new_key(kind: KeyKind) -> ApiKey:
    """A new random key."""
    unchecked = f"fr_{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_BODY_LENGTH))
    secret = unchecked + _checksum(unchecked)
    return ApiKey(secret, secret[:_SHOWN_LENGTH], key_digest(secret))


def key_digest(secret: str) -> str:
    """SHA-256 of the whole secret, hex: the only form in which a key is stored, cached or compared."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def well_formed(secret: str, kind: KeyKind | None = None) -> bool:
    """Whether `secret` could be a key (of `kind`): right shape, right checksum. Says nothing of whether it is known."""
    shape = _SHAPE.fullmatch(secret)
    if shape is None or (kind is not None and shape[1] != kind):
        return False
    return secret[-_CHECKSUM_LENGTH:] == _checksum(secret[:-_CHECKSUM_LENGTH])


def _checksum(text: str) -> str:
    value = zlib.crc32(text.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


# -- the two keys of a local install -----------------------------------------------------------------------------------

_VARIABLES: dict[str, KeyKind] = {"OPENAI_API_KEY": "live", "FREERELAY_OPERATOR_KEY": "admin"}
_LINE = re.compile(r"export ([A-Z_]+)=(\S+)")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets of a local install."""

    demo_key: str = field(repr=False)
    operator_key: str = field(repr=False)


def load_or_create_credentials(home: Path) -> Credentials:
    """The keys in `home/credentials`, made on first use: a 0600 file that a shell can source.

    Raises `ConfigurationError` when the file cannot be read, written or understood. An existing file is never
    overwritten: its keys may be in use.
    """
    path = home / "credentials"
    try:
        if not path.exists():
            _create(path)
        path.chmod(0o600)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}. Make the file readable and writable for this user."
        ) from None
    except UnicodeDecodeError:
        raise _damaged(path) from None
    return _parse(text, path)


def _parse(text: str, path: Path) -> Credentials:
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] not in _VARIABLES or match[1] in found:
            raise _damaged(path)
        found[match[1]] = match[2]
    for name, kind in _VARIABLES.items():
        if not well_formed(found.get(name, ""), kind):
            raise _damaged(path)
    return Credentials(demo_key=found["OPENAI_API_KEY"], operator_key=found["FREERELAY_OPERATOR_KEY"])


def _damaged(path: Path) -> ConfigurationError:
    lines = " and ".join(f"'export {name}=fr_{kind}_…'" for name, kind in _VARIABLES.items())
    return ConfigurationError(
        f"{path} is damaged: it must hold the lines {lines} with whole keys. "
        "Restore it, or delete it to have new keys made (the old ones then stop working)."
    )


def _create(path: Path) -> None:
    """Write new keys beside `path` and link them into place: whole or not at all, and never over another's file."""
    # Passable, not listable: the account that root lends to PostgreSQL must reach its data below the same folder.
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"export {name}={new_key(kind).secret}\n" for name, kind in _VARIABLES.items())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another start was quicker; its keys count
    finally:
        draft.unlink(missing_ok=True)
