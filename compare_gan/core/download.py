"""Files that are known by what is in them."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from compare_gan.core.errors import UserError
from compare_gan.core.files import atomic
from compare_gan.core.progress import Progress

CHUNK = 1 << 20
TIMEOUT_S = 30  # seconds without an answer


def download(url: str, sha256: str, path: Path, instead: str = "") -> None:
    """Fetches a file to `path`, which appears only when it is whole and the right one.

    Args:
      instead: what else the user may do, to end an error with.

    Raises:
      UserError: it cannot be fetched, or is another file.
    """
    by_hand = f"fetch it elsewhere and put it at {path} (SHA-256 {sha256}){instead}"
    total = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, atomic(path) as file:
            size = int(answer.headers.get("Content-Length") or 0)
            progress, done = Progress(f"fetching {path.name}", size, unit="bytes", patience=1.0), 0
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                total.update(chunk)
                done += len(chunk)
                progress.update(done, {})
            if total.hexdigest() != sha256:
                raise UserError(f"{url}: is another file, its SHA-256 is {total.hexdigest()}; {by_hand}")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is an answer, too
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UserError(f"{url}: cannot be fetched ({reason}); {by_hand}") from None
