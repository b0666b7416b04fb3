"""Downloads of files, verified by their SHA-256."""

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


def download(url: str, sha256: str | None, path: Path, instead: str = "") -> None:
    """Downloads a file to `path`, which appears only once the file is complete and its SHA-256 matches.

    Args:
      sha256: None if it is not known; then only the size that the server gives is checked.
      instead: an alternative for the user, appended to error messages.

    Raises:
      UserError: the download fails, or the file has another size or SHA-256.
    """
    content = f" (SHA-256 {sha256})" if sha256 else ""
    by_hand = f"download it elsewhere and put it at {path}{content}{instead}"
    total = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, atomic(path) as file:
            size = int(answer.headers.get("Content-Length") or 0)
            progress, done = Progress(f"downloading {path.name}", size, unit="bytes", show_after_s=1.0), 0
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                total.update(chunk)
                done += len(chunk)
                progress.update(done, {})
            if done < size:
                raise UserError(f"{url}: ended after {done} of {size} bytes; try again, or {by_hand}")
            if sha256 not in (None, total.hexdigest()):
                raise UserError(f"{url}: unexpected content (SHA-256 {total.hexdigest()}); {by_hand}")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds an open response
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UserError(f"{url}: cannot be downloaded ({reason}); {by_hand}") from None
