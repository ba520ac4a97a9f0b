"""The keys of proxy auth: made once, shown once, kept hashed in a file that only the user reads."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from modalnb.exception import InvalidError, NotFoundError

KEY_PREFIX, SECRET_PREFIX = "wk-", "ws-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key as it is kept: the hash of its secret, never the secret."""

    key: str
    salt: str
    digest: str
    name: str
    created_at: float

    def fits(self, secret: str) -> bool:
        """Whether this is the key's secret; takes the same time whatever is wrong with it."""
        return hmac.compare_digest(self.digest, _digest(secret, self.salt))


def _digest(secret: str, salt: str) -> str:
    # The secret has 256 random bits, so a slow hash would protect nothing more.
    return hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), key=salt.encode()).hexdigest()


def default_path() -> Path:
    """Where the keys of this user are kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "modalnb" / "keys.json"


class KeyRing:
    """The keys in a file; what another process changes is seen at the next look."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def new(self, name: str = "") -> tuple[str, str]:
        """Make a key; returns it and its secret, which nobody can find out again."""
        key, secret = KEY_PREFIX + secrets.token_hex(8), SECRET_PREFIX + secrets.token_urlsafe(32)
        salt = secrets.token_hex(16)
        made = Key(
            key=key, salt=salt, digest=_digest(secret, salt), name=name, created_at=time.time()
        )
        self._write([*self.all(), made])
        return key, secret

    def all(self) -> list[Key]:
        """The keys, oldest first."""
        self._look()
        return sorted(self._keys.values(), key=lambda key: key.created_at)

    def revoke(self, key: str) -> None:
        """Forget a key.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        kept = [other for other in self.all() if other.key != key]
        if len(kept) == len(self._keys):
            raise NotFoundError(f"There is no key '{key}'. `modalnb token list` shows all.")
        self._write(kept)

    def admits(self, key: str, secret: str) -> bool:
        """Whether somebody with these may enter."""
        self._look()
        known = self._keys.get(key)
        return known is not None and known.fits(secret)

    def _look(self) -> None:
        """Read the file if it has changed."""
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, {}
            return
        stamp = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
        if stamp == self._stamp:
            return
        if facts.st_mode & 0o077 or facts.st_uid != os.getuid():
            raise InvalidError(
                f"{self.path} must be a file that only you can read, since it says who may call "
                f"your functions. Run `chmod 600 {self.path}`."
            )
        self._keys = {item["key"]: Key(**item) for item in json.loads(self.path.read_text())}
        self._stamp = stamp

    def _write(self, keys: list[Key]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=self.path.parent, prefix=".keys-", delete=False
        ) as draft:  # mode 0600
            json.dump([asdict(key) for key in keys], draft, indent=1)
        os.replace(draft.name, self.path)
